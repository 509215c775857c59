//! The AWS adapters: Route 53 and CloudWatch behind the ports.
