//! The simulated world: a strict model of the rules of Route 53 and CloudWatch, with a clock that jumps.
