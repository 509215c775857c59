//! The AWS accounts in which calls are made.

use serde::{Deserialize, Serialize};

/// The partition of the commercial regions.
pub const COMMERCIAL: &str = "aws";

/// The partitions other than the commercial one, each with the prefix of its regions. Source: the SDK's partition data
/// (`partitions.json`).
const PREFIXES: [(&str, &str); 7] = [
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("eusc-", "aws-eusc"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("eu-isoe-", "aws-iso-e"),
    ("us-isof-", "aws-iso-f"),
];

/// The credentials that a call is made with: the environment's own, or those of a role that is assumed with them.
///
/// The default is the environment's own credentials in the environment's partition. In the journal, an account that has
/// nothing but a role is written as the role's ARN alone, as in older entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub struct Account {
    /// The ARN of the role that is assumed. `None` means the environment's own credentials.
    pub role_arn: Option<String>,
    /// The external ID that the role's trust policy requires. `None` if it requires none.
    pub external_id: Option<String>,
    /// The partition, for example `aws-cn`; never set for the commercial one. `None` means the partition of the role,
    /// or without a role that of the environment.
    pub partition: Option<String>,
}

/// How an account is written in JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Role(Option<String>),
    Full {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role_arn: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        external_id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partition: Option<String>,
    },
}

impl From<Form> for Account {
    fn from(form: Form) -> Self {
        match form {
            Form::Role(role_arn) => Self {
                role_arn,
                ..Self::default()
            },
            Form::Full {
                role_arn,
                external_id,
                partition,
            } => Self {
                role_arn,
                external_id,
                partition,
            },
        }
    }
}

impl From<Account> for Form {
    fn from(account: Account) -> Self {
        let Account {
            role_arn,
            external_id,
            partition,
        } = account;
        if external_id.is_none() && partition.is_none() {
            return Self::Role(role_arn);
        }
        Self::Full {
            role_arn,
            external_id,
            partition,
        }
    }
}

impl Account {
    /// Returns the account of a role, or that of the environment if `role_arn` is `None`. The partition is that of
    /// `region`, or else that of the role's ARN.
    pub fn new(
        role_arn: Option<String>,
        external_id: Option<String>,
        region: Option<&str>,
    ) -> Self {
        let of_role = role_arn.as_deref().and_then(partition_of_arn);
        let partition = region.map(partition_of_region).or(of_role);
        let partition = match partition {
            Some(COMMERCIAL) | None => None,
            Some(other) => Some(other.to_owned()),
        };
        Self {
            role_arn,
            external_id,
            partition,
        }
    }

    /// Returns true for the environment's own credentials in the environment's partition.
    pub fn is_ambient(&self) -> bool {
        *self == Self::default()
    }

    /// The partition's name, as ARNs have it.
    pub fn partition_name(&self) -> &str {
        self.partition.as_deref().unwrap_or(COMMERCIAL)
    }

    /// Returns the number of the account, from the role's ARN. `None` without a role.
    pub fn number(&self) -> Option<&str> {
        self.role_arn.as_deref().and_then(number_of_arn)
    }
}

/// Returns the partition of a region. A region without a known prefix is a commercial one.
pub fn partition_of_region(region: &str) -> &'static str {
    let known = PREFIXES
        .iter()
        .find(|(prefix, _)| region.starts_with(prefix));
    known.map_or(COMMERCIAL, |(_, partition)| partition)
}

/// Returns the partition in an ARN. `None` if the text does not begin with `arn:`.
pub fn partition_of_arn(arn: &str) -> Option<&str> {
    arn.strip_prefix("arn:")?.split(':').next()
}

/// Returns the account number in an ARN. `None` if the ARN has none.
pub fn number_of_arn(arn: &str) -> Option<&str> {
    let number = arn.split(':').nth(4)?;
    if number.is_empty() {
        None
    } else {
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_of_an_older_journal_is_read_and_written_as_it_was() {
        let old = "\"arn:aws:iam::111111111111:role/cutover\"";
        let account: Account = serde_json::from_str(old).unwrap();
        assert_eq!(account.number(), Some("111111111111"));
        assert_eq!(serde_json::to_string(&account).unwrap(), old);
        assert_eq!(serde_json::to_string(&Account::default()).unwrap(), "null");
        assert!(
            serde_json::from_str::<Account>("null")
                .unwrap()
                .is_ambient()
        );
    }

    #[test]
    fn the_partition_is_the_regions_or_else_the_roles() {
        let role = || Some("arn:aws-cn:iam::111111111111:role/cutover".to_owned());
        let china = Account::new(role(), Some("x".to_owned()), None);
        assert_eq!(china.partition.as_deref(), Some("aws-cn"));
        let text = serde_json::to_string(&china).unwrap();
        assert_eq!(serde_json::from_str::<Account>(&text).unwrap(), china);
        let gov = Account::new(None, None, Some("us-gov-west-1"));
        assert_eq!(gov.partition.as_deref(), Some("aws-us-gov"));
        assert!(Account::new(None, None, Some("eu-west-1")).is_ambient());
    }
}
