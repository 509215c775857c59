//! Finds out as whom AWS knows the person at this machine.

use std::time::Duration;

use aws_config::Region;
use aws_config::environment::{
    EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider,
};
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};

use super::config::{GLOBAL_REGION, Options, load};

/// The longest wait for STS. The person who approves a step waits for it too.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Returns the ARN that STS returns for the credentials of the environment or the profile. `None` if there are no such
/// credentials, or if STS does not answer within 4 s.
///
/// The machine's own role is not used, because it identifies the machine and not the person.
pub async fn caller_arn(options: Options) -> Option<String> {
    tokio::time::timeout(ANSWER_WITHIN, ask(options))
        .await
        .ok()?
}

async fn ask(mut options: Options) -> Option<String> {
    let environment = EnvironmentVariableCredentialsProvider::new();
    let profile = ProfileFileCredentialsProvider::builder().build();
    let chain = CredentialsProviderChain::first_try("Environment", environment);
    let person = SharedCredentialsProvider::new(chain.or_else("Profile", profile));
    person.provide_credentials().await.ok()?;
    options.credentials = Some(person);
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(Region::from_static(GLOBAL_REGION));
    let config = load(&options, region.region().await).await;
    let identity = aws_sdk_sts::Client::new(&config).get_caller_identity();
    identity.send().await.ok()?.arn
}
