//! `/metrics`: what is counted and measured, for Prometheus.
//!
//! The engine says it in the text format of OpenMetrics. Who does not ask for
//! that gets the older text format of Prometheus, made of the same lines.

use axum::{
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};

use crate::{app::Shared, problem::Answer, query::Params};

mod process;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) async fn show(app: Shared, uri: Uri, headers: HeaderMap) -> Answer<Response> {
    Params::new(&uri, &[], app.now()).finish()?;
    let mut text = app.engine.metrics().await;
    text.push_str(&process::text(app.engine.started()));
    let (kind, text) = if wants_open_metrics(&headers) {
        text.push_str("# EOF\n");
        (OPEN_METRICS, text)
    } else {
        (PROMETHEUS, older(&text))
    };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Whether the client names the format and does not refuse it.
fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut ranges = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_named = parts
            .next()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
        let is_refused = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        is_named && !is_refused
    })
}

/// The older format: a family of counters has the name of its samples, there
/// is no kind `info`, and units are not told.
fn older(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut line_out = |line: &str| {
        written.push_str(line);
        written.push('\n');
    };
    let mut help = None;
    for line in text.lines() {
        if let Some(told) = line.strip_prefix("# HELP ") {
            help = told.split_once(' ');
            continue;
        }
        if line.starts_with("# UNIT ") {
            continue;
        }
        let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|told| told.split_once(' '))
        else {
            line_out(line);
            continue;
        };
        let (suffix, kind) = match kind {
            "counter" => ("_total", kind),
            "info" => ("_info", "gauge"),
            _ => ("", kind),
        };
        if let Some((_, told)) = help.take() {
            line_out(&format!("# HELP {name}{suffix} {told}"));
        }
        line_out(&format!("# TYPE {name}{suffix} {kind}"));
    }
    written
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{older, wants_open_metrics};

    #[test]
    fn the_older_format_names_families_as_their_samples() {
        let text = "# HELP a What.\n# TYPE a counter\na_total{x=\"# TYPE b counter\"} 1\n\
                    # HELP b_seconds Long.\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\nb_seconds_sum 1\n\
                    # HELP c Who.\n# TYPE c info\nc_info{v=\"1\"} 1\n";
        let expect = "# HELP a_total What.\n# TYPE a_total counter\na_total{x=\"# TYPE b counter\"} 1\n\
                      # HELP b_seconds Long.\n# TYPE b_seconds histogram\nb_seconds_sum 1\n\
                      # HELP c_info Who.\n# TYPE c_info gauge\nc_info{v=\"1\"} 1\n";
        assert_eq!(expect, older(text));
    }

    #[track_caller]
    fn check(accept: &'static str, expect: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        assert_eq!(expect, wants_open_metrics(&headers), "{accept}");
    }

    #[test]
    fn the_format_is_what_the_client_names() {
        check("*/*", false);
        check("text/plain", false);
        check("application/openmetrics-text", true);
        check(
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            true,
        );
        check("text/plain, Application/OpenMetrics-Text; q=0", false);
        assert!(!wants_open_metrics(&HeaderMap::new()));
    }
}
