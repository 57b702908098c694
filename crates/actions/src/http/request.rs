//! One request and the redirects it is sent along, until there is an answer.
//!
//! Each hop has a client of its own without a pool: what a connection may
//! reach depends on who said where it goes. Redirects are followed here and
//! not by the client, so that each is looked at. Proxies of the environment
//! are not used, since they would connect to what is not looked at.

use std::{error::Error, io, path::Path, sync::Arc, time::Duration};

use model::action::{HttpBody, HttpCall, HttpText, HttpUrl, StepContext};
use reqwest::{
    Certificate, Client, Method, Response, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION},
    redirect::Policy,
};
use rustls::CertificateError;
use url::{Host, form_urlencoded};
use wire::cloudevents;

use super::names::{Names, Private, Reach, Resolver, private};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a secret.
const LARGEST_SECRET: u64 = 64 * 1024;
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// Something on this machine is missing or wrong.
    #[error("{0}")]
    Unready(String),
    #[error("{0}")]
    Private(#[from] Private),
    #[error("{0}")]
    Redirect(String),
    /// The server does not prove to be who was asked for.
    #[error("the server's certificate is refused: {0}")]
    Untrusted(String),
    /// The network, the server or TLS.
    #[error("{0}")]
    Failed(String),
}

/// A request that can be sent, and sent on.
pub(super) struct Request {
    method: Method,
    url: Url,
    /// The address is not to be shown, nor where it leads.
    is_secret: bool,
    reach: Reach,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
    ca: Vec<Certificate>,
    redirects_left: u8,
    names: Arc<dyn Names>,
}

impl Request {
    pub(super) async fn new(
        call: HttpCall,
        context: &StepContext,
        names: Arc<dyn Names>,
    ) -> Result<Self, RequestError> {
        let HttpCall {
            method,
            url,
            headers,
            body,
            expect: _,
            follow_redirects,
            ca,
        } = call;
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|error| RequestError::Unready(error.to_string()))?;
        let mut map = HeaderMap::new();
        let (content_type, body) = encoded(body, context);
        if let Some(content_type) = content_type {
            map.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if !method.is_safe() {
            let key = idempotency_key(context);
            let name = HeaderName::from_static(IDEMPOTENCY_KEY);
            map.insert(name, header_value(IDEMPOTENCY_KEY, &key)?);
        }
        for (name, text) in headers {
            let value = match text {
                HttpText::Plain(text) => header_value(&name, &text)?,
                HttpText::Secret { prefix, file } => {
                    let text = read_secret(&file).await?;
                    let mut value = header_value(&name, &format!("{prefix}{text}"))?;
                    value.set_sensitive(true);
                    value
                }
            };
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|error| RequestError::Unready(error.to_string()))?;
            map.insert(name, value);
        }
        let is_secret = matches!(url, HttpUrl::Secret(_));
        let (text, reach) = match url {
            HttpUrl::Fixed(text) => (text, Reach::Anywhere),
            HttpUrl::Computed(text) => (text, Reach::Public),
            HttpUrl::Secret(file) => (read_secret(&file).await?, Reach::Anywhere),
        };
        let ca = match ca {
            Some(path) => read_certificates(&context.project.join(path)).await?,
            None => Vec::new(),
        };
        Ok(Self {
            method,
            url: parse(&text, is_secret)?,
            is_secret,
            reach,
            headers: map,
            body,
            ca,
            redirects_left: follow_redirects,
            names,
        })
    }

    /// Whether its address is not to be shown.
    pub(super) fn is_secret(&self) -> bool {
        self.is_secret
    }

    /// Where it goes, for people.
    pub(super) fn shown(&self) -> String {
        if self.is_secret {
            let host = self.url.host_str().unwrap_or_default();
            return format!("{} {}://{host}/…", self.method, self.url.scheme());
        }
        format!("{} {}", self.method, self.url)
    }

    /// Sends it.
    pub(super) async fn send(&self) -> Result<Response, RequestError> {
        self.check_literal()?;
        let mut request = self
            .client()?
            .request(self.method.clone(), self.url.clone())
            .headers(self.headers.clone());
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        request.send().await.map_err(explain)
    }

    /// Takes the way that a redirect shows. `false`: the answer is none, or no
    /// more are followed.
    pub(super) fn follow(&mut self, response: &Response) -> Result<bool, RequestError> {
        let status = response.status().as_u16();
        let is_redirect = matches!(status, 301..=303 | 307 | 308);
        let location = response.headers().get(LOCATION);
        let (Some(location), true) = (location, is_redirect && self.redirects_left > 0) else {
            return Ok(false);
        };
        self.redirects_left -= 1;
        let refused = |why: &str| RequestError::Redirect(format!("{status} redirects {why}"));
        let location = location
            .to_str()
            .map_err(|_| refused("to what is no address"))?;
        let to = self
            .url
            .join(location)
            .map_err(|_| refused("to what is no address"))?;
        check_parts(&to).map_err(|why| refused(&format!("to an address that {why}")))?;
        if self.url.scheme() == "https" && to.scheme() != "https" {
            return Err(refused("from https to http"));
        }
        if to.origin() != self.url.origin() {
            // Another host's word, and not for its eyes.
            self.reach = Reach::Public;
            self.headers.remove(AUTHORIZATION);
            self.headers.remove(COOKIE);
            let secret: Vec<HeaderName> = self
                .headers
                .iter()
                .filter(|(_, value)| value.is_sensitive())
                .map(|(name, _)| name.clone())
                .collect();
            for name in secret {
                self.headers.remove(name);
            }
        }
        let becomes_get = match status {
            303 => self.method != Method::HEAD,
            301 | 302 => self.method == Method::POST,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = None;
            self.headers.remove(CONTENT_TYPE);
        }
        self.url = to;
        Ok(true)
    }

    /// An address that is written out is never looked up.
    fn check_literal(&self) -> Result<(), Private> {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.host() {
            Some(Host::Ipv4(address)) => self.reach.check(host, address.into()),
            Some(Host::Ipv6(address)) => self.reach.check(host, address.into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    fn client(&self) -> Result<Client, RequestError> {
        let resolver = Resolver {
            names: Arc::clone(&self.names),
            reach: self.reach,
        };
        let mut builder = Client::builder()
            .user_agent(concat!("lariat/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIMEOUT)
            .dns_resolver(Arc::new(resolver));
        builder = if self.url.scheme() == "http" {
            // No certificate is looked at, so none need be on this machine.
            builder.tls_certs_only([])
        } else {
            builder.tls_certs_merge(self.ca.iter().cloned())
        };
        builder
            .build()
            .map_err(|error| RequestError::Unready(causes(&error.without_url())))
    }
}

/// The content type and the bytes of a body.
fn encoded(body: HttpBody, context: &StepContext) -> (Option<&'static str>, Option<Vec<u8>>) {
    match body {
        HttpBody::Empty => (None, None),
        HttpBody::Json(value) => (Some("application/json"), Some(value.to_string().into())),
        HttpBody::CloudEvent(data) => {
            let event = match data {
                None => cloudevents::encode(&context.event),
                // As unique as the request, and the same at every attempt.
                Some(data) => {
                    let id = idempotency_key(context);
                    cloudevents::encode_about(&context.event, &id, &context.rule, &data)
                }
            };
            (
                Some(cloudevents::MEDIA_TYPE),
                Some(event.to_string().into()),
            )
        }
        HttpBody::Form(fields) => {
            let text = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(fields)
                .finish();
            let content_type = "application/x-www-form-urlencoded";
            (Some(content_type), Some(text.into_bytes()))
        }
    }
}

/// The same at every attempt, and another for each step of a job.
fn idempotency_key(context: &StepContext) -> String {
    match context.step {
        0 => context.job.to_string(),
        step => format!("{}-{}", context.job, step + 1),
    }
}

fn header_value(name: &str, text: &str) -> Result<HeaderValue, RequestError> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
        RequestError::Unready(format!("the header `{name}` has a control character in it"))
    })
}

async fn read_secret(file: &Path) -> Result<String, RequestError> {
    let unready =
        |why: String| RequestError::Unready(format!("the secret in `{}` {why}", file.display()));
    let about = fs_err::tokio::metadata(file)
        .await
        .map_err(|error| unready(format!("cannot be read: {error}")))?;
    if about.len() > LARGEST_SECRET || !about.is_file() {
        return Err(unready("is not in a file of at most 64 KiB".to_owned()));
    }
    let text = fs_err::tokio::read_to_string(file)
        .await
        .map_err(|error| unready(format!("cannot be read: {error}")))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(unready("is empty".to_owned()));
    }
    Ok(text.to_owned())
}

async fn read_certificates(path: &Path) -> Result<Vec<Certificate>, RequestError> {
    let unready = |why: String| RequestError::Unready(format!("`ca`: {}: {why}", path.display()));
    let pem = fs_err::tokio::read(path)
        .await
        .map_err(|error| unready(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| unready(causes(&error)))?;
    if found.is_empty() {
        return Err(unready("no certificate is in it".to_owned()));
    }
    Ok(found)
}

fn parse(text: &str, is_secret: bool) -> Result<Url, RequestError> {
    let shown = if is_secret {
        "the secret address"
    } else {
        text
    };
    let refused = |why: &str| RequestError::Unready(format!("`{shown}` is refused: it {why}"));
    let url: Url = text.parse().map_err(|_| refused("is no address"))?;
    check_parts(&url).map_err(refused)?;
    Ok(url)
}

fn check_parts(url: &Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or a password in it");
    }
    if url.host().is_none() {
        return Err("has no host");
    }
    Ok(())
}

fn explain(error: reqwest::Error) -> RequestError {
    if let Some(private) = private(&error) {
        return RequestError::Private(private.clone());
    }
    if let Some(refused) = refused_certificate(&error) {
        return RequestError::Untrusted(match refused {
            CertificateError::UnknownIssuer => {
                "its authority is unknown here; the key `ca` names a file with one".to_owned()
            }
            other => other.to_string(),
        });
    }
    RequestError::Failed(causes(&error.without_url()))
}

/// The certificate that is somewhere behind an error of a request.
fn refused_certificate<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e CertificateError> {
    let mut error = Some(error);
    while let Some(here) = error {
        if let Some(rustls::Error::InvalidCertificate(refused)) = here.downcast_ref() {
            return Some(refused);
        }
        // An error of this type names what is behind its inner one as source.
        let inner = here
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        error = match inner {
            Some(inner) => Some(inner),
            None => here.source(),
        };
    }
    None
}

/// An error with what is behind it, in one line.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some repeat what is behind them.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
