//! Talks to the HTTP API of a running service.
//!
//! What the service refuses becomes a [`Failure`] with the service's own words;
//! what cannot be reached becomes exit code 4.

use std::time::Duration;

use api::json::Problem;
use model::token::{Secret, SecretError};
use reqwest::{
    Method, StatusCode, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    args::Cli,
    config::Environment,
    exit::Exit,
    failure::{Failure, cannot_find},
};

pub(crate) mod messages;
pub(crate) mod stream;

/// A connection to one service.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
}

/// A successful answer, not yet read.
#[derive(Debug)]
pub(crate) struct Answer {
    bytes: bytes::Bytes,
    next_offset: Option<u64>,
    attempt: Option<u32>,
}

/// Why there is no successful answer.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The service was not reached, or went away before it answered.
    Unreachable(Failure),
    /// The service answered, and this is what it said.
    Problem(StatusCode, Box<Problem>),
    Other(Failure),
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What the service is shown, and what it has to show.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    token: Option<Secret>,
    /// Certificates in PEM: instead of those that the system trusts.
    ca: Option<Vec<u8>>,
}

impl Credentials {
    /// A secret is never an argument: those can be seen by everybody.
    pub(crate) fn read(cli: &Cli, environment: &Environment) -> Result<Self, Failure> {
        let token = match (&cli.token_file, &environment.token) {
            (Some(path), _) => {
                let text = fs_err::read_to_string(path)
                    .map_err(|error| Failure::new(Exit::Usage, cannot_find(path, &error)))?;
                let from = format!("what `{}` holds is not a token", path.display());
                Some(parse_token(&text).map_err(|failure| failure.context(from))?)
            }
            (None, Some(text)) => Some(
                parse_token(text)
                    .map_err(|failure| failure.context("what LARIAT_TOKEN holds is not a token"))?,
            ),
            (None, None) => None,
        };
        let ca = match cli.ca.as_ref().or(environment.ca.as_ref()) {
            Some(path) => Some(
                fs_err::read(path)
                    .map_err(|error| Failure::new(Exit::Usage, cannot_find(path, &error)))?,
            ),
            None => None,
        };
        Ok(Self { token, ca })
    }
}

fn parse_token(text: &str) -> Result<Secret, Failure> {
    text.trim()
        .parse()
        .map_err(|error: SecretError| Failure::new(Exit::Usage, error))
}

impl Client {
    pub(crate) fn new(url: &str, credentials: Credentials) -> Result<Self, Failure> {
        let base = parse_url(url)?;
        // An error only says that a provider is there already.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("lariat/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT);
        if base.scheme() == "http" {
            // No certificate is looked at, so none need be on this machine.
            builder = builder.tls_certs_only([]);
        } else if let Some(ca) = &credentials.ca {
            const NONE: &str = "the file of `--ca` or LARIAT_CA has no certificate in it";
            let certificates = reqwest::Certificate::from_pem_bundle(ca)
                .map_err(|error| Failure::new(Exit::Usage, error).context(NONE))?;
            if certificates.is_empty() {
                return Err(Failure::message(Exit::Usage, NONE)
                    .hint("certificates stand in it as PEM, `-----BEGIN CERTIFICATE-----`"));
            }
            builder = builder.tls_certs_only(certificates);
        }
        if let Some(token) = &credentials.token {
            builder = builder.default_headers(authorization(token));
        }
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|error| Failure::unexpected(error).context("cannot make an HTTP client"))?;
        Ok(Self { http, base })
    }

    /// `path` is below `/api/v1`; each part is one segment, whatever is in it.
    pub(crate) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Answer, Failure> {
        let refusal = match self.try_get(path, query).await {
            Ok(answer) => return Ok(answer),
            Err(refusal) => refusal,
        };
        Err(refusal.into())
    }

    pub(crate) async fn try_get(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Answer, Refusal> {
        self.send(self.asking(path, query)).await
    }

    fn asking(&self, path: &[&str], query: &[(&str, String)]) -> reqwest::RequestBuilder {
        self.http.get(self.url(path)).query(query)
    }

    pub(crate) async fn post(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<Answer, Refusal> {
        let body =
            serde_json::to_vec(body).map_err(|error| Refusal::Other(Failure::unexpected(error)))?;
        // A JSON content type, always: the service takes nothing else.
        let request = self
            .http
            .request(Method::POST, self.url(path))
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body);
        self.send(request).await
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        url
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, Refusal> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(self.unreachable(error)),
        };
        let status = response.status();
        let next_offset = number(&response, api::NEXT_OFFSET);
        let attempt = number(&response, api::OUTPUT_ATTEMPT);
        if !status.is_success() {
            return Err(self.refused(response).await);
        }
        match response.bytes().await {
            Ok(bytes) => Ok(Answer {
                bytes,
                next_offset,
                attempt,
            }),
            Err(error) => Err(self.unreachable(error)),
        }
    }

    /// What an answer says that is not a successful one.
    async fn refused(&self, response: reqwest::Response) -> Refusal {
        let status = response.status();
        let bytes = match response.bytes().await {
            Ok(bytes) => bytes,
            Err(error) => return self.unreachable(error),
        };
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => Refusal::Problem(status, Box::new(problem)),
            Err(_) => {
                let message = format!("`{}` answered {status}", self.base);
                Refusal::Other(
                    Failure::message(Exit::Unexpected, message)
                        .hint("is this the address of a Lariat service?"),
                )
            }
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> Refusal {
        let is_transport = error.is_connect()
            || error.is_timeout()
            || error.is_request()
            || error.is_body()
            || error.is_decode();
        let exit = if is_transport {
            Exit::Unreachable
        } else {
            Exit::Unexpected
        };
        let reason = Reason::of(&error);
        let hint = reason.hint(self.base.scheme());
        let failure = Failure::new(exit, reason)
            .context(format!("cannot reach `{}`", self.base))
            .hint(hint);
        if is_transport {
            Refusal::Unreachable(failure)
        } else {
            Refusal::Other(failure)
        }
    }
}

/// A header that is a number.
fn number<T: std::str::FromStr>(response: &reqwest::Response, name: &str) -> Option<T> {
    response.headers().get(name)?.to_str().ok()?.parse().ok()
}

/// Why there was no answer: the innermost cause. What the libraries in between
/// say is where in them it was noticed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Reason(String);

impl Reason {
    fn of(error: &reqwest::Error) -> Self {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Self(if error.is_timeout() {
            "it did not answer in time".to_owned()
        } else {
            cause.to_string()
        })
    }

    /// What there is to do. A port that speaks TLS when it should not, or the
    /// other way round, is known by the nonsense that comes back.
    fn hint(&self, scheme: &str) -> &'static str {
        let has = |words: &[&str]| words.iter().any(|word| self.0.contains(word));
        match scheme {
            "https" if has(&["corrupt message"]) => {
                "what listens there does not speak TLS; `http://` may be meant"
            }
            "https" if has(&["CaUsedAsEndEntity"]) => {
                "the service's certificate is that of an authority, as `openssl req -x509` makes them unless told \
                 otherwise; make it with `-addext basicConstraints=critical,CA:FALSE`"
            }
            "https" if has(&["certificate"]) => {
                "the service's certificate must be valid for this name and come from an authority that this machine trusts"
            }
            "http"
                if has(&[
                    "invalid HTTP version",
                    "message completed",
                    "connection error",
                ]) =>
            {
                "what listens there does not speak HTTP; `https://` may be meant"
            }
            _ => "is `lariat serve` running? `--url` or LARIAT_URL says where",
        }
    }
}

fn authorization(token: &Secret) -> HeaderMap {
    let text = format!("Bearer {}", token.reveal());
    let mut value = HeaderValue::from_str(&text).expect("a token is letters, digits and `_`");
    value.set_sensitive(true);
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

fn parse_url(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text)
        .map_err(|error| Failure::new(Exit::Usage, error))
        .map_err(|failure| failure.context(format!("`{text}` is not a URL")))
        .map_err(|failure| failure.hint("a URL looks like `http://127.0.0.1:8470`"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        let message = format!("`{text}` is not an http or https URL");
        return Err(
            Failure::message(Exit::Usage, message).hint("a URL looks like `http://127.0.0.1:8470`")
        );
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

impl Answer {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the bytes after `offset` and these begin.
    pub(crate) fn next_offset(&self, offset: u64) -> u64 {
        self.next_offset.unwrap_or(offset + self.bytes.len() as u64)
    }

    /// Which attempt an output is of.
    pub(crate) fn attempt(&self) -> Option<u32> {
        self.attempt
    }

    /// As one of the API's types.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.bytes).map_err(|error| {
            Failure::unexpected(error)
                .context("the service answered what this version does not understand")
                .hint("`lariat status` shows the service's version, `lariat --version` this one's")
        })
    }

    /// As it is.
    pub(crate) fn value(&self) -> Result<Value, Failure> {
        self.read()
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unreachable(failure) | Refusal::Other(failure) => failure,
            Refusal::Problem(status, problem) => from_problem(status, &problem),
        }
    }
}

fn from_problem(status: StatusCode, problem: &Problem) -> Failure {
    let exit = match status.as_u16() {
        400 | 413 | 415 => Exit::Usage,
        422 => Exit::Configuration,
        429 | 502..=504 => Exit::Unreachable,
        _ => Exit::Unexpected,
    };
    let message = if problem.detail.is_empty() {
        problem.title.clone()
    } else {
        problem.detail.clone()
    };
    let details = problem
        .errors
        .iter()
        .filter(|error| !message.contains(&error.message))
        .map(|error| match (error.index, &error.field) {
            (_, Some(field)) => format!("`{field}`: {}", error.message),
            (Some(_) | None, None) => error.message.clone(),
        })
        .collect();
    let failure = Failure::message(exit, message).details(details);
    match status.as_u16() {
        401 => failure.hint(
            "LARIAT_TOKEN holds the token that is sent, or `--token-file FILE` says where it is",
        ),
        429 | 503 => failure.hint("nothing was accepted; the same command can be repeated later"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, Credentials, is_loopback, parse_url};
    use crate::exit::Exit;

    #[test]
    fn a_url_is_checked() {
        for good in ["http://127.0.0.1:8470", "https://lariat.example.org/base/"] {
            assert!(parse_url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:8470",
            "ftp://example.org",
            "unix:/run/x",
            "http://",
        ] {
            let failure = parse_url(bad).unwrap_err();
            assert_eq!(Exit::Usage, failure.exit(), "{bad}");
        }
    }

    #[test]
    fn a_segment_stays_one_segment() {
        let client = Client::new("http://127.0.0.1:1/base/", Credentials::default()).unwrap();
        let url = client.url(&["events", "a/../b?c#d"]);
        assert_eq!(
            "http://127.0.0.1:1/base/api/v1/events/a%2F..%2Fb%3Fc%23d",
            url.as_str()
        );
    }

    #[test]
    fn loopback_is_recognised() {
        for (url, expected) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost:1", true),
            ("http://192.0.2.1", false),
            ("http://example.org", false),
        ] {
            assert_eq!(expected, is_loopback(&parse_url(url).unwrap()), "{url}");
        }
    }
}
