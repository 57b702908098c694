//! Steps of kind `http`: what may be written, and what is made of it.

use model::action::{HttpBody, HttpCall, HttpText, HttpUrl, StepCall};
use serde_json::{Value, json};

use super::{
    check::check,
    compile_one,
    prepare::{call, prepare},
    rule,
};
use crate::Prepared;

fn http(run: &str, body: &str) -> HttpCall {
    match call(run, body) {
        StepCall::Http(call) => call,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_rendered() {
    let run = "{http: {url: 'https://api.example.org/b/{{ msg.name }}?q={{ msg.n }}', method: put, \
               headers: {X-Host: '{{ result.host }}', X-Token: {file: /etc/t, prefix: 'Bearer '}}, \
               body: {n: '{{ msg.n }}', t: 'n={{ msg.n }}'}, expect: [200, 202-204], \
               follow_redirects: 3, ca: vault.txt}}";
    let expect = HttpCall {
        method: "PUT",
        url: HttpUrl::Fixed("https://api.example.org/b/kernel?q=1.50".to_owned()),
        headers: vec![
            ("X-Host".to_owned(), HttpText::Plain("web7".to_owned())),
            (
                "X-Token".to_owned(),
                HttpText::Secret {
                    prefix: "Bearer ".to_owned(),
                    file: "/etc/t".into(),
                },
            ),
        ],
        body: HttpBody::Json(serde_json::from_str(r#"{"n": 1.50, "t": "n=1.50"}"#).unwrap()),
        expect: vec![200..=200, 202..=204],
        follow_redirects: 3,
        ca: Some("vault.txt".to_owned()),
    };
    assert_eq!(expect, http(run, r#"{"name": "kernel", "n": 1.50}"#));
}

#[test]
fn a_request_has_defaults() {
    let plain = http("{http: {url: 'http://h.example/x'}}", "{}");
    assert_eq!(("GET", HttpBody::Empty), (plain.method, plain.body));
    assert_eq!((vec![200..=299], 0), (plain.expect, plain.follow_redirects));
    let null = http("{http: {url: 'http://h.example/x', body: null}}", "{}");
    assert_eq!(
        ("POST", HttpBody::Json(Value::Null)),
        (null.method, null.body)
    );
    let event = http(
        "{http: {url: 'http://h.example/x', format: cloudevents}}",
        "{}",
    );
    assert_eq!(
        ("POST", HttpBody::CloudEvent(None)),
        (event.method, event.body)
    );
    let data = http(
        "{http: {url: 'http://h.example/x', format: cloudevents, body: '{{ msg.a }}'}}",
        r#"{"a": 1}"#,
    );
    assert_eq!(HttpBody::CloudEvent(Some(json!(1))), data.body);
    let form = http(
        "{http: {url: 'http://h.example/x', form: {a: '{{ msg.a }}'}}}",
        r#"{"a": 1}"#,
    );
    let fields = vec![("a".to_owned(), "1".to_owned())];
    assert_eq!(("POST", HttpBody::Form(fields)), (form.method, form.body));
    let secret = http("{http: {url: {file: /run/hook}}}", "{}");
    assert_eq!(HttpUrl::Secret("/run/hook".into()), secret.url);
}

#[track_caller]
fn check_url(template: &str, value: &str, expect: HttpUrl) {
    let run = format!("{{http: {{url: '{template}'}}}}");
    let body = json!({"x": value}).to_string();
    assert_eq!(expect, http(&run, &body).url, "{template} with {value:?}");
}

#[test]
fn what_is_computed_behind_the_host_is_one_piece() {
    let fixed = |text: &str| HttpUrl::Fixed(text.to_owned());
    let path = "https://h.example/a/{{ msg.x }}/b";
    check_url(
        path,
        "kernel-6.1_x~1.rpm",
        fixed("https://h.example/a/kernel-6.1_x~1.rpm/b"),
    );
    check_url(path, "../../x", fixed("https://h.example/a/..%2F..%2Fx/b"));
    check_url(path, "x?y#z", fixed("https://h.example/a/x%3Fy%23z/b"));
    check_url(
        path,
        "@evil.example:1\\",
        fixed("https://h.example/a/%40evil.example%3A1%5C/b"),
    );
    check_url(
        path,
        "a\r\nb ü",
        fixed("https://h.example/a/a%0D%0Ab%20%C3%BC/b"),
    );
    check_url(
        "https://h.example/?a={{ msg.x }}&c=1",
        "1&b=2#x",
        fixed("https://h.example/?a=1%26b%3D2%23x&c=1"),
    );
    // A host that is not closed is not the rule's alone.
    let computed = |text: &str| HttpUrl::Computed(text.to_owned());
    check_url(
        "https://{{ msg.x }}/hook",
        "h.example",
        computed("https://h.example/hook"),
    );
    check_url(
        "{{ msg.x }}",
        "https://h.example/a?b",
        computed("https://h.example/a?b"),
    );
    check_url(
        "{% if true %}https://h.example/{{ msg.x }}{% endif %}",
        "a/b",
        computed("https://h.example/a%2Fb"),
    );
}

#[track_caller]
fn check_refused(template: &str, value: &str, why: &str) {
    let run = format!("{{http: {{url: '{template}'}}}}");
    let body = json!({"x": value}).to_string();
    match prepare(&run, &body) {
        Err(message) => assert!(message.contains(why), "{message}"),
        Ok(Prepared::Run { call, .. }) => panic!("{call:?}"),
        Ok(Prepared::Skip { reason }) => panic!("{reason}"),
    }
}

const SECRET: &str = "headers: {X-Token: {file: /etc/t}}";

#[test]
fn what_is_computed_in_the_host_does_not_end_it() {
    let region =
        format!("{{http: {{url: 'http://{{{{ msg.x }}}}.example.org/v1/status', {SECRET}}}}}");
    for evil in [
        "8.8.4.4/",
        "evil.com/",
        "evil.com#",
        "8.8.4.4:80/a?",
        "@",
        "a@b",
        "\\",
        "evil.com:80",
        "a%2f",
        "a b",
        "a\r\nb",
        "ü",
        "[::1]",
    ] {
        let message = prepare(&region, &json!({"x": evil}).to_string()).unwrap_err();
        assert!(message.contains("`msg.x` is refused"), "{evil}: {message}");
        for template in [
            "http://{{ msg.x }}.example.org",
            "http://{{ msg.x }}/hook",
            "http://a-{{ msg.x }}.example.org/",
            "http://h.example:{{ msg.x }}/",
            "http://h.example:80{{ msg.x }}/a",
            "{{ msg.x }}://h.example/",
            "{% if msg.x %}http://{{ msg.x }}.example.org{% endif %}/a",
            "{% for x in [msg.x] %}http://{{ x }}{% endfor %}.example.org/",
        ] {
            check_refused(template, evil, "` is refused");
        }
    }
    check_refused(
        "http://h.example:{{ msg.x }}/",
        "a",
        "a port is digits only",
    );
    check_refused("http://{{ msg.x }}/evil.example/", "", "it has no host");
    check_refused("http:///{{ msg.x }}", "evil.example", "it has no host");
    let good = http(&region, r#"{"x": "eu-1.a"}"#).url;
    let expect = "http://eu-1.a.example.org/v1/status";
    assert_eq!(HttpUrl::Computed(expect.to_owned()), good);
    let computed = |text: &str| HttpUrl::Computed(text.to_owned());
    check_url(
        "http://h.example:{{ msg.x }}/",
        "8080",
        computed("http://h.example:8080/"),
    );
    let either = "{% if msg.x %}{{ msg.x }}{% else %}http://{{ msg.y }}.example.org/{% endif %}";
    check_url(
        either,
        "https://a.example/b",
        computed("https://a.example/b"),
    );
}

#[test]
fn a_host_is_not_continued_by_what_is_computed() {
    for url in [
        "https://api.example.org{{ msg.p }}/x",
        "https://api.example.org{{ msg.p }}",
        "https://api.example.org{{ msg.p }}x/",
        "https://api.example.org{% if msg.p %}{{ msg.p }}{% endif %}/x",
        "https://api.example.org{{ msg.p }}-{{ msg.q }}/x",
    ] {
        check(
            &format!("run: {{http: {{url: '{url}'}}}}"),
            "4:23 bad-value",
        );
    }
    for url in [
        "https://api.example.org/{{ msg.p }}/x",
        "https://api.example.org?{{ msg.p }}",
        "https://api-{{ msg.p }}.example.org/x",
        "https://api.{{ msg.p }}/x",
        "https://api.example.org{% if msg.p %}/{{ msg.p }}{% endif %}",
    ] {
        check(&format!("run: {{http: {{url: '{url}'}}}}"), "");
    }
}

#[test]
fn a_secret_does_not_go_where_an_event_says() {
    for url in [
        "{{ msg.url }}",
        "{{ msg.url }}/x",
        "{{ msg.scheme }}://h.example.org/",
        "https://{{ msg.host }}",
        "https://{{ msg.host }}/hook",
        "https://{{ msg.host }}:443/hook",
        "https://api.{{ msg.host }}/",
        "https://{{ msg.host }}example.org/",
        "https://{{ msg.host }}.org/",
        "https://{{ msg.host }}.2.3/",
        "https:/{{ msg.host }}/a://b.example.org/",
        "http:///{{ msg.host }}",
        "{% if msg.a %}https://h.example.org/{% else %}{{ msg.url }}{% endif %}",
        "{% for x in msg.l %}https://h.example.org/{{ x }}{% endfor %}",
    ] {
        check(
            &format!("run: {{http: {{url: '{url}', {SECRET}}}}}"),
            "4:23 exposed-secret",
        );
        check(&format!("run: {{http: {{url: '{url}'}}}}"), "");
    }
    for url in [
        "https://h.example.org/{{ msg.p }}",
        "https://{{ msg.region }}.example.org/{{ msg.p }}",
        "https://eu{{ msg.n }}.api.example.org",
        "https://h:{{ msg.port }}/",
        "https://{% if msg.a %}a{% else %}b{% endif %}/",
    ] {
        check(&format!("run: {{http: {{url: '{url}', {SECRET}}}}}"), "");
    }
}

#[test]
fn an_address_is_refused_that_leads_elsewhere() {
    let path = "https://h.example/a/{{ msg.x }}";
    for dots in ["..", ".", ""] {
        if !dots.is_empty() {
            check_refused(path, dots, "is `.` or `..`");
        }
    }
    check_refused("https://h.example/a/.{{ msg.x }}/b", ".", "is `.` or `..`");
    check_refused("https://h.example/%2e{{ msg.x }}/b", ".", "is `.` or `..`");
    for url in [
        "file:///etc/passwd",
        "gopher://h.example/",
        "javascript:alert(1)",
        "https://user:pw@h.example/",
        "https://user@h.example/",
        "https://h.example/\r\nX: y",
        "https:///",
        "//h.example/",
        "h.example",
        "",
        "https://h.example\\@evil.example/",
    ] {
        check_refused("{{ msg.x }}", url, "is refused");
    }
    check_refused(
        "{{ msg.x }}",
        &format!("https://h.example/{}", "a".repeat(9_000)),
        "longer",
    );
}

#[test]
fn a_password_in_an_address_is_shown_nowhere() {
    for url in [
        "https://joe:s3cret@h.example/",
        "https://joe:s3cret%20@h.example/a?b=c@d",
        "https://joe:s3cret/x@h.example/",
        "ftp://joe:s3cret@h.example/",
    ] {
        let text = rule(&format!("run: {{http: {{url: '{url}'}}}}"));
        let findings = compile_one(&text).unwrap_err();
        let shown = crate::render::diagnostics(&findings, false);
        assert!(shown.contains("h.example"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
        let body = json!({"x": url}).to_string();
        let message = prepare("{http: {url: '{{ msg.x }}'}}", &body).unwrap_err();
        assert!(!message.contains("s3cret"), "{message}");
    }
    // One that is spelt otherwise in the file.
    let text = rule(r#"run: {http: {url: "https://joe:s3cret\u0020@h.example/"}}"#);
    let findings = compile_one(&text).unwrap_err();
    let shown = crate::render::diagnostics(&findings, false);
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_header_that_data_breaks_is_refused() {
    let run = "{http: {url: 'https://h.example/', headers: {X-A: '{{ msg.x }}'}}}";
    for value in ["a\r\nEvil: 1", "a\nb", "a\u{0}", "\u{7f}"] {
        let message = prepare(run, &json!({"x": value}).to_string()).unwrap_err();
        assert!(
            message.contains("`X-A`") || message.contains("NUL"),
            "{message}"
        );
    }
}

#[test]
fn requests_are_checked() {
    check(
        "run: {http: {url: 'https://h.example/{{ msg.x }}', timeout: 5s}}",
        "4:56 unknown-key",
    );
    check("run: {http: https://h.example/}", "4:17 wrong-type");
    check("run: {http: {method: GET}}", "4:17 missing-key");
    check("run: {http: {url: 'file:///etc/passwd'}}", "4:23 bad-value");
    check(
        "run: {http: {url: 'https://a:b@h.example/'}}",
        "4:23 bad-value",
    );
    check(
        "run: {http: {url: 'https://h.example/', method: BREW}}",
        "4:53 bad-value",
    );
    check(
        "run: {http: {url: 'https://h.example/', method: '{{ msg.m }}'}}",
        "4:53 bad-value",
    );
    check(
        "run: {http: {url: 'https://h.example/', headers: {'a b': x, Host: y, Content-Length: 1}}}",
        "4:55 bad-value, 4:65 bad-value, 4:74 bad-value",
    );
    check(
        "run: {http: {url: 'https://h.example/', headers: {A: {file: t}, B: {env: X}}}}",
        "4:65 bad-value, 4:72 missing-key, 4:73 unknown-key",
    );
    check(
        "run: {http: {url: 'https://h.example/', body: {}, form: {a: b}}}",
        "4:55 bad-value",
    );
    check(
        "run: {http: {url: 'https://h.example/', format: xml}}",
        "4:53 bad-value",
    );
    check(
        "run: {http: {url: 'https://h.example/', format: cloudevents, form: {a: b}}}",
        "4:66 bad-value",
    );
    check(
        "run: {http: {url: 'https://h.example/', expect: [99, 300-200, ok, '600']}}",
        "4:54 bad-value, 4:58 bad-value, 4:67 bad-value, 4:71 bad-value",
    );
    check(
        "run: {http: {url: 'https://h.example/', follow_redirects: 11}}",
        "4:63 bad-value",
    );
    check(
        "run: {http: {url: 'https://h.example/', ca: nope.pem}}",
        "4:49 missing-file",
    );
    check(
        "run: {http: {url: 'https://h.example/', ca: ../x.pem}}",
        "4:49 path-escape",
    );
}
