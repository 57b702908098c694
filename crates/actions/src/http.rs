//! Steps of kind `http`: one request, and what its answer means.
//!
//! Nothing is started on this machine, so there is no guard. Whether a request
//! whose answer was lost has done anything is not known: it carries the same
//! `Idempotency-Key` at every attempt, for a server that cares. What a server
//! says is data: it is kept as output up to the cap, and a JSON object is the
//! step's result.

mod address;
mod names;
mod request;

use std::{fmt, ops::RangeInclusive, sync::Arc, time::Duration};

use async_trait::async_trait;
use model::{
    action::{HttpCall, StepCall, StepContext, StepControl, StepReport},
    clock::{Clock, Timestamp},
    diagnostic::Diagnostic,
    job::{Outcome, Retry, StepKind},
    json::Object,
    ports::{Action, OutputSink},
};
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use tokio::time::timeout;

use self::{
    names::{Names, SystemNames},
    request::{Request, RequestError},
};
use crate::{asked::asked_to_end, step};

/// Bytes of a reply that can be the result of a step.
const LARGEST_RESULT: usize = 1 << 20;

/// Sends the requests of steps of kind `http`.
pub struct HttpAction {
    clock: Arc<dyn Clock>,
    names: Arc<dyn Names>,
}

impl fmt::Debug for HttpAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpAction").finish_non_exhaustive()
    }
}

impl HttpAction {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_names(clock, Arc::new(SystemNames))
    }

    pub(crate) fn with_names(clock: Arc<dyn Clock>, names: Arc<dyn Names>) -> Self {
        // An error only says that a provider is there already.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        Self { clock, names }
    }

    async fn exchange(
        &self,
        call: HttpCall,
        context: &StepContext,
        output: &dyn OutputSink,
    ) -> Answer {
        let expect = call.expect.clone();
        let mut request = match Request::new(call, context, Arc::clone(&self.names)).await {
            Ok(request) => request,
            Err(error) => return Answer::without_body(failed(&error, None)),
        };
        let cap = context.output_cap;
        match self.answer(&mut request, &expect, (output, cap)).await {
            Ok(answer) => answer,
            Err(error) => Answer::without_body(failed(&error, Some(&request))),
        }
    }

    /// Sends it, also where it is sent on to, until there is an answer.
    async fn answer(
        &self,
        request: &mut Request,
        expect: &[RangeInclusive<u16>],
        (output, cap): (&dyn OutputSink, u64),
    ) -> Result<Answer, RequestError> {
        loop {
            say(output, &format!("{}\n", request.shown())).await;
            let response = request.send().await?;
            let status = response.status();
            say(output, &format!("{}\n", head(&response))).await;
            if !is_expected(expect, status) && request.follow(&response)? {
                continue;
            }
            let outcome = judge(&response, expect, request, self.clock.now());
            if request.is_secret() && status.is_redirection() {
                // The page says where, as the header does.
                return Ok(Answer::without_body(outcome));
            }
            let is_success = matches!(outcome, Outcome::Succeeded { .. });
            // An error page is for people; its end says nothing about success.
            return match read_body(response, (output, cap)).await {
                Ok(body) => Ok(Answer { outcome, body }),
                Err(error) if is_success => Err(error),
                Err(_) => Ok(Answer::without_body(outcome)),
            };
        }
    }
}

/// What came back.
struct Answer {
    outcome: Outcome,
    /// Absent: it was longer than a result may be.
    body: Option<Vec<u8>>,
}

impl Answer {
    fn without_body(outcome: Outcome) -> Self {
        Self {
            outcome,
            body: None,
        }
    }

    fn report(self) -> StepReport {
        let is_success = matches!(self.outcome, Outcome::Succeeded { .. });
        let result = self
            .body
            .filter(|_| is_success)
            .and_then(|body| object(&body));
        StepReport {
            outcome: self.outcome,
            exit: None,
            result,
        }
    }
}

/// The JSON object that a reply is, with the text of its numbers.
fn object(body: &[u8]) -> Option<Object> {
    let text = std::str::from_utf8(body).ok()?;
    match model::json::parse(text) {
        Ok(serde_json::Value::Object(object)) => Some(object),
        Ok(_) | Err(_) => None,
    }
}

fn is_expected(expect: &[RangeInclusive<u16>], status: StatusCode) -> bool {
    expect.iter().any(|range| range.contains(&status.as_u16()))
}

/// What a status means. Only those that may be another at the next try are
/// worth one.
fn judge(
    response: &Response,
    expect: &[RangeInclusive<u16>],
    request: &Request,
    now: Timestamp,
) -> Outcome {
    let status = response.status();
    let shown = request.shown();
    if is_expected(expect, status) {
        return Outcome::Succeeded {
            summary: format!("{shown}: {status}"),
        };
    }
    let header = |name| {
        let value = response.headers().get(name);
        value.and_then(|value| value.to_str().ok())
    };
    let more = match (header(LOCATION), header(RETRY_AFTER)) {
        // Where a secret address leads is as much of a secret.
        (Some(_), _) if status.is_redirection() && request.is_secret() => {
            ", a redirect that is not followed".to_owned()
        }
        (Some(to), _) if status.is_redirection() => {
            format!(", a redirect to {} that is not followed", shortened(to))
        }
        (_, Some(after)) => format!(", `Retry-After: {}`", shortened(after)),
        (_, None) => String::new(),
    };
    let is_passing = matches!(status.as_u16(), 408 | 425 | 429 | 500..=599);
    let least = header(RETRY_AFTER).and_then(|text| wait_of(text, now));
    let wanted: Vec<String> = expect.iter().map(range).collect();
    Outcome::Failed {
        exit: None,
        summary: format!(
            "{shown}: {status}{more}; expected {}; {}",
            wanted.join(", "),
            remedy(status)
        ),
        retry: match least {
            Some(least) if is_passing => Retry::After { least },
            None if is_passing => Retry::Worthwhile,
            Some(_) | None => Retry::Pointless,
        },
    }
}

fn range(range: &RangeInclusive<u16>) -> String {
    let (from, to) = (range.start(), range.end());
    if from == to {
        from.to_string()
    } else {
        format!("{from}-{to}")
    }
}

/// How long a server wants to be left alone: seconds, or until when.
fn wait_of(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = Timestamp::from_http(text.trim())?;
    let millis = until.as_millis().saturating_sub(now.as_millis());
    Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

/// What can be done about a status that was not expected.
fn remedy(status: StatusCode) -> &'static str {
    match status.as_u16() {
        300..=399 => "`follow_redirects` says how many redirects are followed",
        401 | 403 | 407 => "the server does not let this in: look at the credentials in `headers`",
        404 | 410 => "there is nothing at this address: look at `url`",
        405 => "the server does not take this there: look at `method`",
        408 | 425 | 429 | 500..=599 => {
            "the server may take it later: `retry` says how often it is tried"
        }
        400..=499 => "the server does not understand it: its answer is in the output",
        _ => "`expect` says which answers are a success",
    }
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 200;
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn head(response: &Response) -> String {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE);
    match kind.and_then(|kind| kind.to_str().ok()) {
        Some(kind) => format!("{:?} {status}, {}", response.version(), shortened(kind)),
        None => format!("{:?} {status}", response.version()),
    }
}

/// Keeps the reply as output, up to the cap, and gives it back when it can be
/// a result. What is beyond both is not read.
async fn read_body(
    mut response: Response,
    (output, cap): (&dyn OutputSink, u64),
) -> Result<Option<Vec<u8>>, RequestError> {
    let mut left = usize::try_from(cap).unwrap_or(usize::MAX);
    let mut body = Some(Vec::new());
    let mut ends_line = true;
    loop {
        let piece = match response.chunk().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(error) => {
                let why = request::causes(&error.without_url());
                return Err(RequestError::Failed(format!("the reply broke off: {why}")));
            }
        };
        let kept = piece.get(..left.min(piece.len())).unwrap_or_default();
        if !kept.is_empty() {
            left -= kept.len();
            ends_line = kept.ends_with(b"\n");
            output.write(kept.to_vec()).await;
        }
        let fits = |body: &Vec<u8>| body.len() + piece.len() <= LARGEST_RESULT;
        body = body.filter(fits);
        match &mut body {
            Some(body) => body.extend_from_slice(&piece),
            None if left == 0 => {
                say(output, "\n[lariat: the rest of the reply was left out]\n").await;
                return Ok(None);
            }
            None => {}
        }
    }
    if !ends_line {
        say(output, "\n").await;
    }
    Ok(body)
}

async fn say(output: &dyn OutputSink, text: &str) {
    output.write(text.as_bytes().to_vec()).await;
}

/// What an error means, and where it happened. What the machine lacks is there or not at every try,
/// and so is a certificate that is refused: somebody has to change something.
fn failed(error: &RequestError, request: Option<&Request>) -> Outcome {
    let (retry, remedy) = match error {
        RequestError::Unready(reason) => {
            return Outcome::Unstartable {
                reason: reason.clone(),
            };
        }
        RequestError::Private(_) | RequestError::Redirect(_) | RequestError::Untrusted(_) => {
            (Retry::Pointless, "")
        }
        RequestError::Failed(_) => (
            Retry::Worthwhile,
            "; is the address right, and reachable from this machine?",
        ),
    };
    let shown = request.map(|request| format!("{}: ", request.shown()));
    Outcome::Failed {
        exit: None,
        summary: format!("{}{error}{remedy}", shown.unwrap_or_default()),
        retry,
    }
}

#[async_trait]
impl Action for HttpAction {
    fn kind(&self) -> StepKind {
        StepKind::Http
    }

    async fn run(
        &self,
        call: StepCall,
        context: StepContext,
        mut control: StepControl,
    ) -> StepReport {
        let StepCall::Http(call) = call else {
            return step::unstartable(format!("a {} step is no request", call.kind()));
        };
        let output = Arc::clone(&control.output);
        let exchange = timeout(
            context.timeout,
            self.exchange(call, &context, output.as_ref()),
        );
        let outcome = tokio::select! {
            biased;
            outcome = asked_to_end(&mut control, self.clock.as_ref()) => outcome,
            answer = exchange => match answer {
                Ok(answer) => return answer.report(),
                Err(_) => Outcome::TimedOut { after: context.timeout, killed: false },
            },
        };
        StepReport {
            outcome,
            exit: None,
            result: None,
        }
    }

    async fn preflight(&self) -> Vec<Diagnostic> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
