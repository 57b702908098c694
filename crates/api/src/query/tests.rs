use super::*;

const NOW: i64 = 1_795_214_580_000;

#[track_caller]
fn check_age(text: &str, seconds: Option<u64>) {
    assert_eq!(seconds.map(Duration::from_secs), age(text), "{text}");
}

#[test]
fn an_age_is_a_number_and_a_unit() {
    check_age("90s", Some(90));
    check_age("10m", Some(600));
    check_age("24h", Some(86_400));
    check_age("30d", Some(2_592_000));
    check_age("0s", Some(0));
    check_age("", None);
    check_age("s", None);
    check_age("-1s", None);
    check_age("+1s", None);
    check_age("1.5h", None);
    check_age("1w", None);
    check_age("10", None);
    check_age("1µ", None);
    check_age("99999999999999999999s", None);
    check_age("9999999999999999999d", None);
}

/// `expect` is `field: message` for each error.
#[track_caller]
fn check(query: &str, expect: &[&str]) {
    let uri: Uri = format!("/x?{query}").parse().unwrap();
    let mut params = Params::new(
        &uri,
        &["since", "limit", "cursor", "after", "step"],
        Timestamp::from_millis(NOW),
    );
    params.moment("since");
    params.limit();
    params.position();
    params.number::<usize>("step");
    let errors: Vec<String> = params
        .finish()
        .err()
        .map(|problem| problem.errors)
        .unwrap_or_default()
        .into_iter()
        .map(|error| format!("{}: {}", error.field.unwrap(), error.message))
        .collect();
    assert_eq!(expect, errors, "{query}");
}

#[test]
fn every_wrong_parameter_is_named() {
    check("", &[]);
    check("since=10m&limit=500&cursor=c1f&step=0", &[]);
    check("since=2026-11-20T22:43:00%2B01:00&limit=1&after=c0", &[]);
    check(
        "sinse=1h",
        &["sinse: is not known here; did you mean `since`?"],
    );
    check(
        "x=1",
        &["x: is not known here; known are since, limit, cursor, after, step"],
    );
    check("limit=1&limit=1", &["limit: is given more than once"]);
    check("limit=0", &["limit: must be 1 to 500"]);
    check("limit=501", &["limit: must be 1 to 500"]);
    check("limit=+5", &["limit: must be a whole number"]);
    check("limit=", &["limit: must be a whole number"]);
    check(
        "limit=99999999999999999999999",
        &["limit: must be a whole number"],
    );
    check("step=-1", &["step: must be a whole number"]);
    check(
        "cursor=abc&x=1",
        &[
            "x: is not known here; known are since, limit, cursor, after, step",
            "cursor: this is not a cursor that a list has returned",
        ],
    );
    check(
        "cursor=c1&after=c2",
        &["after: goes forward and `cursor` back; give one of them"],
    );
}

#[test]
fn many_wrong_parameters_make_a_short_answer() {
    let query: Vec<String> = (0..5_000).map(|n| format!("p{n}=1")).collect();
    let uri: Uri = format!("/x?{}", query.join("&")).parse().unwrap();
    let params = Params::new(&uri, &[], Timestamp::from_millis(NOW));
    assert_eq!(100, params.finish().unwrap_err().errors.len());
}
