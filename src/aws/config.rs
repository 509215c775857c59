//! Options, timeouts and retries, and one client per account and region.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use aws_config::AppName;
use aws_config::BehaviorVersion;
use aws_config::ConfigLoader;
use aws_config::Region;
use aws_config::SdkConfig;
use aws_config::default_provider::region::DefaultRegionChain;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use jiff::Timestamp;

use super::budget::Budget;
use super::budget::Rate;
use super::date::ReplyDates;
use super::guard::believed;
use super::guard::caught;
use super::partition;
use crate::engine::account::Account;
use crate::engine::account::partition_of_arn;
use crate::engine::account::partition_of_region;
use crate::ports::Clock;
use crate::reach::net;

/// The longest wait for a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest time of a read, retries included: a round's reads have 5 s (semantics F1).
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time of one attempt of a read, so that a hung connection leaves time for another attempt.
pub(super) const READ_ATTEMPT_TIMEOUT: Duration = Duration::from_millis(2_400);
/// The most attempts of a read by the SDK, the first included.
pub(super) const READ_ATTEMPTS_MAX: u32 = 3;
/// The longest time of a change, waiting for a token included (semantics A1). The caller relies on no request being sent
/// later.
pub(super) const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for a token within [`CHANGE_TIMEOUT`]; the rest is left for the reply.
pub(super) const CHANGE_WAIT_MAX: Duration = Duration::from_secs(5);
/// The longest that a read waits for a token.
pub(super) const NORMAL_WAIT_MAX: Duration = Duration::from_secs(5);
/// The longest that a revert's read waits for a token.
pub(super) const REVERT_WAIT_MAX: Duration = Duration::from_secs(10);
/// The longest search for a region: if the environment names none, the machine's metadata is asked.
const REGION_TIMEOUT: Duration = Duration::from_secs(2);
/// The name of our sessions in the account's trail if a role is assumed.
const SESSION_NAME: &str = "cutover";
/// The region of Route 53's control plane, whose endpoint is global; used if no region is named.
pub(super) const GLOBAL_REGION: &str = "us-east-1";

/// The options of the adapters.
#[derive(Clone)]
pub struct Options {
    /// Our clock, which is compared with the `Date` of AWS's replies.
    pub clock: Arc<dyn Clock>,
    /// How often AWS may be called.
    pub limits: Limits,
    /// Overrides the environment's region.
    pub region: Option<String>,
    /// Overrides the endpoint of every service. `AWS_ENDPOINT_URL` and its kind do the same from outside.
    pub endpoint_url: Option<String>,
    /// Overrides the environment's credentials.
    pub credentials: Option<SharedCredentialsProvider>,
    /// Overrides the HTTP client.
    pub http_client: Option<SharedHttpClient>,
    /// If true, region, profile and credentials are taken from here alone and never looked up.
    pub isolated: bool,
}

/// How often AWS may be called, per account (and for alarms per region). The quotas are shared with everybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All calls of Route 53 together: 10 a second, bursts of 50.
    pub route53_overall: Rate,
    /// Each operation of Route 53: 10 a second, bursts of 50.
    pub route53_per_operation: Rate,
    /// Tokens of each bucket that only reverts may take: 20.
    pub route53_headroom: u32,
    /// `DescribeAlarms`, per region: 7 a second, one by one. The quota is 9 a second and shared with ECS, which misses
    /// alarms when it is used up; so never more than 8 in any second. 5 s are enough for 3,400 alarms.
    pub describe_alarms: Rate,
    /// `DescribeAlarmHistory`, per region: 1 a second, bursts of 2. The quota is 3 a second.
    pub describe_alarm_history: Rate,
    /// `GetMetricData`, per region: 20 a second, bursts of 10. The quota is 50 a second.
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
    /// Everything from the usual environment and profile, with the default limits.
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

/// The SDK's clients and the budgets of calls; each is made when it is first needed, and kept.
#[derive(Debug)]
pub struct AwsClients {
    limits: Limits,
    region: Option<String>,
    ambient: SdkConfig,
    accounts: tokio::sync::Mutex<BTreeMap<Account, SdkConfig>>,
    route53: Mutex<BTreeMap<Account, aws_sdk_route53::Client>>,
    cloudwatch: Mutex<BTreeMap<(Account, String), aws_sdk_cloudwatch::Client>>,
    budgets: Mutex<BTreeMap<Account, Arc<Budget>>>,
    alarm_budgets: Mutex<BTreeMap<(Account, String), Arc<AlarmBudgets>>>,
    pub(super) route53_dates: ReplyDates,
    pub(super) cloudwatch_dates: ReplyDates,
}

/// The budgets of `CloudWatch` calls in one account and region.
#[derive(Debug)]
pub(super) struct AlarmBudgets {
    pub(super) alarms: Budget,
    pub(super) history: Budget,
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

    /// The environment's region, if there is one.
    pub(super) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The time at which the environment's credentials expire, as their provider reports it.
    pub(super) async fn credentials_expire_at(&self) -> Option<Timestamp> {
        let provider = self.ambient.credentials_provider()?;
        let credentials = caught(provider.provide_credentials());
        let credentials = tokio::time::timeout(READ_TIMEOUT, credentials);
        let credentials = credentials.await.ok()??.ok()?;
        Timestamp::try_from(credentials.expiry()?)
            .ok()
            .and_then(believed)
    }

    /// The account's Route 53 client. It retries calls; a change must override that.
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

    /// The account's `CloudWatch` client in a region.
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

    /// The account's budget of Route 53 calls.
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

    /// The account's budgets of `CloudWatch` calls in a region.
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

/// The region of the options, of the environment or the profile, or of the machine we run on.
async fn region(options: &Options) -> Option<Region> {
    if options.isolated || options.region.is_some() {
        return options.region.clone().map(Region::new);
    }
    let lookup = DefaultRegionChain::builder().build();
    let found = tokio::time::timeout(REGION_TIMEOUT, lookup.region()).await;
    // An empty variable names no region and must not become part of an address.
    match found {
        Ok(Some(region)) if !region.as_ref().is_empty() => Some(region),
        Ok(_) | Err(_) => None,
    }
}

/// Reads the environment and the profile, or uses the options alone. Credentials are not fetched yet.
pub(super) async fn load(options: &Options, region: Option<Region>) -> SdkConfig {
    // Without a region each part of the SDK would ask the machine's metadata for one.
    let region = region.unwrap_or_else(|| Region::from_static(GLOBAL_REGION));
    // Timeouts are set here, because the environment may change the SDK's retries.
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

/// The configuration in the account's partition. The region decides the partition of STS and of Route 53.
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

/// The configuration with a role that is assumed with the credentials of `ambient`.
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

/// The timeouts of a change that has this time left for its one attempt.
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
