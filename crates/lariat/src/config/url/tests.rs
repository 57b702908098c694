use super::{AmqpUrl, UrlError};

/// `tls user:password@host:port vhost`
fn shown(text: &str) -> Result<String, UrlError> {
    let url: AmqpUrl = text.parse()?;
    let tls = if url.is_tls { "tls " } else { "" };
    let user = match (&url.username, &url.password) {
        (None, None) => String::new(),
        (name, password) => {
            let name = name.as_deref().unwrap_or("-");
            let password = password.as_ref().map_or("-", |password| password.reveal());
            format!("{name}:{password}@")
        }
    };
    Ok(format!("{tls}{user}{} {}", url.host, url.vhost))
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(Ok(expected.to_owned()), shown(text), "{text}");
}

#[track_caller]
fn check_refused(text: &str, expected: UrlError) {
    assert_eq!(Err(expected), shown(text), "{text}");
}

#[test]
fn an_address_is_taken_apart() {
    check("amqp://localhost", "localhost:5672 /");
    check("amqps://localhost", "tls localhost:5671 /");
    check("AMQPS://localhost/", "tls localhost:5671 /");
    check("amqp://h:1/%2Fpubsub", "h:1 /pubsub");
    check("amqp://h/pubsub", "h:5672 pubsub");
    check("amqp://h/%2F", "h:5672 /");
    check("amqp://me@h", "me:-@h:5672 /");
    check("amqp://fedora:@h", "fedora:@h:5672 /");
    check("amqp://m%40e:a%3Ab%2F@h", "m@e:a:b/@h:5672 /");
    check("amqp://m:a@b@h", "m:a@b@h:5672 /");
    check("amqp://[::1]", "[::1]:5672 /");
    check("amqp://u:p@[2001:db8::1]:7/v", "u:p@[2001:db8::1]:7 v");
    check("amqp://192.0.2.1:1", "192.0.2.1:1 /");
    check("amqp://h/a%C3%A4", "h:5672 aä");
}

#[test]
fn what_is_no_address_is_refused() {
    for text in ["", "localhost", "http://h", "amqp:/h", "amqp+tls://h"] {
        check_refused(text, UrlError::Scheme);
    }
    check_refused("amqp://", UrlError::NoHost);
    check_refused("amqp://u:p@", UrlError::NoHost);
    check_refused("amqp://:5672", UrlError::NoHost);
    check_refused("amqp://h:0", UrlError::Port("0".to_owned()));
    check_refused("amqp://h:65536", UrlError::Port("65536".to_owned()));
    check_refused("amqp://h:", UrlError::Port(String::new()));
    check_refused("amqp://::1", UrlError::NoHost);
    check_refused("amqp://[::1", UrlError::Host("[::1".to_owned()));
    check_refused("amqp://[h]", UrlError::Host("h".to_owned()));
    check_refused("amqp://a b", UrlError::Host("a b".to_owned()));
    check_refused("amqp://h?heartbeat=10", UrlError::Query);
    check_refused("amqp://h/v#x", UrlError::Fragment);
    check_refused("amqp://h//pubsub", UrlError::VhostSlash);
    check_refused("amqp://h/%2", UrlError::Encoding);
    check_refused("amqp://h/%zz", UrlError::Encoding);
    check_refused("amqp://h/%+1", UrlError::Encoding);
    check_refused("amqp://h/%ff", UrlError::Encoding);
}

#[test]
fn no_message_tells_a_password() {
    for text in [
        "amqp://u:hunter2@",
        "amqp://u:hunter2@h:x",
        "amqp://u:hunter2@a b",
        "amqp://u:hunter2%@h",
        "u:hunter2@h",
    ] {
        let error = shown(text).unwrap_err();
        let said = format!("{error} {} {error:?}", error.hint());
        assert!(!said.contains("hunter2"), "{said}");
    }
}
