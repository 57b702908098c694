//! Names of hosts, looked up once for each connection.
//!
//! What is checked is what is connected to: the addresses that are found here
//! are the only ones that the connection is tried with. A name that gives
//! another address at the second look is looked at only once.

use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::is_public;

/// Finds the addresses of a host.
#[async_trait]
pub(crate) trait Names: Send + Sync {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// What the machine is configured to ask.
#[derive(Debug)]
pub(crate) struct SystemNames;

#[async_trait]
impl Names for SystemNames {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// A host that an event may not lead to. Trying again gives the same, as far
/// as anybody should care.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{host}` is at {address}, which is not a public address")]
pub(super) struct Private {
    pub(super) host: String,
    pub(super) address: IpAddr,
}

/// Which addresses a connection may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Anywhere,
    Public,
}

impl Reach {
    pub(super) fn check(self, host: &str, address: IpAddr) -> Result<(), Private> {
        match self {
            Self::Anywhere => Ok(()),
            Self::Public if is_public(address) => Ok(()),
            Self::Public => Err(Private {
                host: host.to_owned(),
                address,
            }),
        }
    }
}

/// Looks names up for one client.
pub(super) struct Resolver {
    pub(super) names: Arc<dyn Names>,
    pub(super) reach: Reach,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let names = Arc::clone(&self.names);
        let reach = self.reach;
        Box::pin(async move {
            let found = resolve(names.as_ref(), name.as_str(), reach).await?;
            let addresses = found.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// All addresses, none of which may be out of reach: a name with a public and
/// a private one is a trick.
async fn resolve(
    names: &dyn Names,
    host: &str,
    reach: Reach,
) -> Result<Vec<IpAddr>, Box<dyn Error + Send + Sync>> {
    let found = names.addresses(host).await?;
    if found.is_empty() {
        return Err(format!("`{host}` has no address").into());
    }
    for address in &found {
        reach.check(host, *address)?;
    }
    Ok(found)
}

/// The refusal that is somewhere behind an error of a request.
pub(super) fn private<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Private> {
    let mut error = Some(error);
    while let Some(here) = error {
        if let Some(private) = here.downcast_ref::<Private>() {
            return Some(private);
        }
        error = here.source();
    }
    None
}
