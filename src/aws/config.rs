//! Options, timeouts and retries, and the SDK's clients: one per account and region.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::default_provider::region::DefaultRegionChain;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use jiff::Timestamp;

use super::budget::{Budget, Rate};
use super::date::ReplyDates;
use super::guard::{believed, caught};
use super::partition;
use crate::engine::account::{Account, partition_of_arn, partition_of_region};
use crate::ports::Clock;
use crate::reach::net;

/// The longest wait for a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest time of a read, including retries. The reads of a round have 5 s (semantics F1).
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time of one attempt of a read. It is short, so that a hung connection leaves time for another attempt.
pub(super) const READ_ATTEMPT_TIMEOUT: Duration = Duration::from_millis(2_400);
/// The most attempts of a read by the SDK, including the first one.
pub(super) const READ_ATTEMPTS_MAX: u32 = 3;
/// The longest time of a change, including the wait for a token (semantics A1). The caller relies on this: no request
/// is sent later.
pub(super) const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for a token within [`CHANGE_TIMEOUT`]. The rest of that time is left for the reply.
pub(super) const CHANGE_WAIT_MAX: Duration = Duration::from_secs(5);
/// The longest wait of a read for a token.
pub(super) const NORMAL_WAIT_MAX: Duration = Duration::from_secs(5);
/// The longest wait of a revert's read for a token.
pub(super) const REVERT_WAIT_MAX: Duration = Duration::from_secs(10);
/// The longest search for a region. If the environment names none, the machine's metadata service is asked.
const REGION_TIMEOUT: Duration = Duration::from_secs(2);
/// The session name under which assumed roles appear in `CloudTrail`.
const SESSION_NAME: &str = "cutover";
/// The region that is used if none is named. Route 53's control plane, whose endpoint is global, is there.
pub(super) const GLOBAL_REGION: &str = "us-east-1";

/// The options of the AWS adapters.
#[derive(Clone)]
pub struct Options {
    /// This process's clock. It is compared with the `Date` of AWS's replies.
    pub clock: Arc<dyn Clock>,
    /// The limits of calls to AWS.
    pub limits: Limits,
    /// The region, in place of the environment's. `None` uses the environment.
    pub region: Option<String>,
    /// The endpoint of every service. `None` uses the environment, where `AWS_ENDPOINT_URL` and its variants set
    /// endpoints.
    pub endpoint_url: Option<String>,
    /// The credentials, in place of the environment's. `None` uses the environment.
    pub credentials: Option<SharedCredentialsProvider>,
    /// The HTTP client. `None` uses the program's own.
    pub http_client: Option<SharedHttpClient>,
    /// True if the environment, profiles and the machine's metadata are never asked for region, profile and
    /// credentials.
    pub isolated: bool,
}

/// The limits of calls to AWS, per account, and for `CloudWatch` per region too. AWS's quotas are shared with every
/// other caller of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The limit of all calls of Route 53 together. Default: 10 a second, bursts of 50.
    pub route53_overall: Rate,
    /// The limit of each operation of Route 53. Default: 10 a second, bursts of 50.
    pub route53_per_operation: Rate,
    /// The number of tokens in each Route 53 bucket that only reverts may use. Default: 20.
    pub route53_headroom: u32,
    /// The limit of `DescribeAlarms`. Default: 7 a second, bursts of 1, so never more than 8 in any second. AWS's quota
    /// is 9 a second. It is shared with ECS, which misses alarms if the quota is used up. 3,400 alarms take 5 s.
    pub describe_alarms: Rate,
    /// The limit of `DescribeAlarmHistory`. Default: 1 a second, bursts of 2. AWS's quota is 3 a second.
    pub describe_alarm_history: Rate,
    /// The limit of `GetMetricData`. Default: 20 a second, bursts of 10. AWS's quota is 50 a second.
    pub get_metric_data: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        fn rate(per_sec: u32, burst: u32) -> Rate {
            Rate { per_sec, burst }
        }
        Self {
            route53_overall: rate(10, 50),
            route53_per_operation: rate(10, 50),
            route53_headroom: 20,
            describe_alarms: rate(7, 1),
            describe_alarm_history: rate(1, 2),
            get_metric_data: rate(20, 10),
        }
    }
}

impl Options {
    /// Returns options that take everything from the usual environment and profile, with the default limits.
    pub fn from_environment(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            limits: Limits::default(),
            region: None,
            endpoint_url: None,
            credentials: None,
            http_client: None,
            isolated: false,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("limits", &self.limits)
            .field("region", &self.region)
            .field("endpoint_url", &self.endpoint_url)
            .field("isolated", &self.isolated)
            .finish_non_exhaustive()
    }
}

/// The SDK's clients and the budgets of calls. Each is created when it is first needed, and kept.
#[derive(Debug)]
pub struct AwsClients {
    limits: Limits,
    region: Option<String>,
    /// The configuration of the environment, without a role.
    ambient: SdkConfig,
    /// The configurations of accounts with a role or in another partition.
    accounts: tokio::sync::Mutex<BTreeMap<Account, SdkConfig>>,
    route53: Mutex<BTreeMap<Account, aws_sdk_route53::Client>>,
    cloudwatch: Mutex<BTreeMap<(Account, String), aws_sdk_cloudwatch::Client>>,
    budgets: Mutex<BTreeMap<Account, Arc<Budget>>>,
    alarm_budgets: Mutex<BTreeMap<(Account, String), Arc<AlarmBudgets>>>,
    /// AWS's clock from Route 53's replies.
    pub(super) route53_dates: ReplyDates,
    /// AWS's clock from `CloudWatch`'s replies.
    pub(super) cloudwatch_dates: ReplyDates,
}

/// The budgets of `CloudWatch` calls in one account and region.
#[derive(Debug)]
pub(super) struct AlarmBudgets {
    /// For `DescribeAlarms`.
    pub(super) alarms: Budget,
    /// For `DescribeAlarmHistory`.
    pub(super) history: Budget,
    /// For `GetMetricData`.
    pub(super) metrics: Budget,
}

impl AwsClients {
    pub(super) async fn new(options: Options) -> Self {
        let region = region(&options).await;
        Self {
            limits: options.limits,
            ambient: load(&options, region.clone()).await,
            region: region.map(|region| region.as_ref().to_owned()),
            accounts: tokio::sync::Mutex::default(),
            route53: Mutex::default(),
            cloudwatch: Mutex::default(),
            budgets: Mutex::default(),
            alarm_budgets: Mutex::default(),
            route53_dates: ReplyDates::new(Arc::clone(&options.clock)),
            cloudwatch_dates: ReplyDates::new(options.clock),
        }
    }

    /// Returns the region of the options or the environment. `None` if neither names one.
    pub(super) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// Returns the time at which the environment's credentials expire, as their provider reports it. `None` if they do
    /// not expire or cannot be fetched within 5 s.
    pub(super) async fn credentials_expire_at(&self) -> Option<Timestamp> {
        let provider = self.ambient.credentials_provider()?;
        let credentials = caught(provider.provide_credentials());
        let credentials = tokio::time::timeout(READ_TIMEOUT, credentials);
        let credentials = credentials.await.ok()??.ok()?;
        Timestamp::try_from(credentials.expiry()?)
            .ok()
            .and_then(believed)
    }

    /// Returns the account's Route 53 client. The client retries calls; a change must override that.
    pub(super) async fn route53(&self, account: &Account) -> aws_sdk_route53::Client {
        let config = self.config(account).await;
        let mut clients = lock(&self.route53);
        let client = clients.entry(account.clone()).or_insert_with(|| {
            let builder = aws_sdk_route53::config::Builder::from(&config)
                .interceptor(self.route53_dates.clone());
            aws_sdk_route53::Client::from_conf(builder.build())
        });
        client.clone()
    }

    /// Returns the account's `CloudWatch` client in a region.
    pub(super) async fn cloudwatch(
        &self,
        account: &Account,
        region: &str,
    ) -> aws_sdk_cloudwatch::Client {
        let config = self.config(account).await;
        let mut clients = lock(&self.cloudwatch);
        let key = (account.clone(), region.to_owned());
        let client = clients.entry(key).or_insert_with(|| {
            let builder = aws_sdk_cloudwatch::config::Builder::from(&config)
                .region(Region::new(region.to_owned()))
                .interceptor(self.cloudwatch_dates.clone());
            aws_sdk_cloudwatch::Client::from_conf(builder.build())
        });
        client.clone()
    }

    /// Returns the account's budget of Route 53 calls.
    pub(super) fn budget(&self, account: &Account) -> Arc<Budget> {
        let limits = self.limits;
        let mut budgets = lock(&self.budgets);
        let budget = budgets.entry(account.clone()).or_insert_with(|| {
            Arc::new(Budget::new(
                limits.route53_overall,
                limits.route53_per_operation,
                limits.route53_headroom,
            ))
        });
        Arc::clone(budget)
    }

    /// Returns the account's budgets of `CloudWatch` calls in a region.
    pub(super) fn alarm_budgets(&self, account: &Account, region: &str) -> Arc<AlarmBudgets> {
        let limits = self.limits;
        let mut budgets = lock(&self.alarm_budgets);
        let key = (account.clone(), region.to_owned());
        let budget = budgets.entry(key).or_insert_with(|| {
            Arc::new(AlarmBudgets {
                alarms: Budget::single(limits.describe_alarms),
                history: Budget::single(limits.describe_alarm_history),
                metrics: Budget::single(limits.get_metric_data),
            })
        });
        Arc::clone(budget)
    }

    /// Returns the SDK's configuration for an account, with its role and partition.
    pub(super) async fn config(&self, account: &Account) -> SdkConfig {
        if account.is_ambient() {
            return self.ambient.clone();
        }
        let mut accounts = self.accounts.lock().await;
        if let Some(config) = accounts.get(account) {
            return config.clone();
        }
        let base = within(&self.ambient, account);
        let config = match &account.role_arn {
            Some(role_arn) => assuming(&base, role_arn, account.external_id.as_deref()).await,
            None => base,
        };
        accounts.insert(account.clone(), config.clone());
        config
    }
}

/// Returns the region of the options, the environment, the profile, or the machine's metadata. `None` if none names
/// one.
async fn region(options: &Options) -> Option<Region> {
    if options.isolated || options.region.is_some() {
        return options.region.clone().map(Region::new);
    }
    let lookup = DefaultRegionChain::builder().build();
    let found = tokio::time::timeout(REGION_TIMEOUT, lookup.region()).await;
    // An empty variable names no region, and must not become part of an address.
    match found {
        Ok(Some(region)) if !region.as_ref().is_empty() => Some(region),
        Ok(_) | Err(_) => None,
    }
}

/// Loads the SDK's configuration from the environment and the profile, or from the options alone. Credentials are not
/// fetched yet.
pub(super) async fn load(options: &Options, region: Option<Region>) -> SdkConfig {
    // Without a region, each part of the SDK would ask the machine's metadata service for one.
    let region = region.unwrap_or_else(|| Region::from_static(GLOBAL_REGION));
    // Retries are set explicitly, because the environment could change the SDK's.
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(region)
        .retry_config(RetryConfig::standard().with_max_attempts(READ_ATTEMPTS_MAX))
        .timeout_config(read_timeouts());
    if let Ok(name) = AppName::new(SESSION_NAME) {
        loader = loader.app_name(name);
    }
    if options.isolated {
        loader = without_profile_files(loader);
    }
    if let Some(endpoint_url) = &options.endpoint_url {
        loader = loader.endpoint_url(endpoint_url);
    }
    loader = loader.http_client(match &options.http_client {
        Some(client) => net::bounded(client.clone()),
        None => net::sdk_client(),
    });
    match &options.credentials {
        Some(credentials) => loader = loader.credentials_provider(credentials.clone()),
        None if options.isolated => loader = loader.no_credentials(),
        None => {}
    }
    loader.load().await
}

/// Makes the SDK read no profile files.
#[expect(
    deprecated,
    reason = "the type's new home is in a crate that is not ours to name"
)]
fn without_profile_files(loader: ConfigLoader) -> ConfigLoader {
    use aws_config::profile::profile_file::ProfileFileKind;
    use aws_config::profile::profile_file::ProfileFiles;
    let empty = ProfileFiles::builder().with_contents(ProfileFileKind::Config, "");
    loader.profile_files(empty.build())
}

/// Returns the configuration for the account's partition. The region decides which partition's STS and Route 53 are
/// used.
fn within(ambient: &SdkConfig, account: &Account) -> SdkConfig {
    let role = account.role_arn.as_deref().and_then(partition_of_arn);
    let wanted = account.partition.as_deref().or(role);
    let here = ambient
        .region()
        .map(|region| partition_of_region(region.as_ref()));
    let home = match wanted {
        Some(wanted) if Some(wanted) != here => partition::home(wanted),
        Some(_) | None => None,
    };
    match home {
        Some(home) => ambient.to_builder().region(home).build(),
        None => ambient.clone(),
    }
}

/// Returns a configuration that assumes a role with the credentials of `ambient`.
async fn assuming(ambient: &SdkConfig, role_arn: &str, external_id: Option<&str>) -> SdkConfig {
    let mut role = AssumeRoleProvider::builder(role_arn).session_name(SESSION_NAME);
    if let Some(external_id) = external_id {
        role = role.external_id(external_id);
    }
    let provider = role.configure(ambient).build().await;
    ambient
        .to_builder()
        .credentials_provider(SharedCredentialsProvider::new(provider))
        .build()
}

fn read_timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(READ_ATTEMPT_TIMEOUT)
        .operation_timeout(READ_TIMEOUT)
        .build()
}

/// Returns the timeouts of a change that has this time left for its only attempt.
pub(super) fn change_timeouts(left: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(left)
        .operation_timeout(left)
        .build()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
