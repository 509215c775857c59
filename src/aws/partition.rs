//! AWS partitions: separate clouds with their own accounts, credentials and domains.
//!
//! The region of a client decides its partition. Route 53 has one endpoint per partition and STS one per region. Both
//! endpoints come from the SDK's endpoint rules. The domain of the other services is taken from STS's endpoint.

use aws_config::Region;
use aws_sdk_sts::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};

/// The region of Route 53's control plane in each partition. It is used if a plan names only a role in that partition.
/// Source: the endpoint rules of Route 53's SDK (`aws`, `aws-cn`, `aws-us-gov`, `aws-eusc`, `aws-iso…`).
const HOMES: [(&str, &str); 8] = [
    ("aws", "us-east-1"),
    ("aws-cn", "cn-northwest-1"),
    ("aws-us-gov", "us-gov-west-1"),
    ("aws-eusc", "eusc-de-east-1"),
    ("aws-iso", "us-iso-east-1"),
    ("aws-iso-b", "us-isob-east-1"),
    ("aws-iso-e", "eu-isoe-west-1"),
    ("aws-iso-f", "us-isof-south-1"),
];

/// Returns the region of Route 53's control plane in a partition. `None` if the partition is unknown.
pub(super) fn home(partition: &str) -> Option<Region> {
    let home = HOMES.iter().find(|(name, _)| *name == partition)?;
    Some(Region::from_static(home.1))
}

/// Returns the domain of a region's services, for example `amazonaws.com.cn`. `None` if the region is not valid.
pub(super) async fn domain(region: &str) -> Option<String> {
    let params = Params::builder().region(region).use_global_endpoint(false);
    let params = params.build().ok()?;
    let endpoint = DefaultResolver::new()
        .resolve_endpoint(&params)
        .await
        .ok()?;
    let prefix = format!("https://sts.{region}.");
    endpoint.url().strip_prefix(&prefix).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::account::partition_of_region;

    #[tokio::test]
    async fn each_region_has_the_domain_of_its_partition() {
        for (region, wanted) in [
            ("eu-west-1", "amazonaws.com"),
            ("us-gov-east-1", "amazonaws.com"),
            ("cn-north-1", "amazonaws.com.cn"),
            ("eusc-de-east-1", "amazonaws.eu"),
            ("us-iso-east-1", "c2s.ic.gov"),
            ("us-isob-east-1", "sc2s.sgov.gov"),
            ("eu-isoe-west-1", "cloud.adc-e.uk"),
            ("us-isof-south-1", "csp.hci.ic.gov"),
        ] {
            assert_eq!(domain(region).await.as_deref(), Some(wanted), "{region}");
        }
    }

    #[test]
    fn the_home_of_each_partition_lies_in_it() {
        for (partition, home) in HOMES {
            assert_eq!(partition_of_region(home), partition);
        }
    }
}
