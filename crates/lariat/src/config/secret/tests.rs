use std::path::Path;

use bus::amqp::Secret;
use testkit::TempProject;

use super::{SecretPlace, Vault};
use crate::config::Environment;

fn environment() -> Environment {
    Environment {
        credentials: None,
        ..Environment::read()
    }
}

async fn read(project: &Path, place: SecretPlace) -> String {
    let environment = environment();
    let vault = Vault {
        project,
        environment: &environment,
    };
    match vault.secret(&place).await {
        Ok(secret) => secret.reveal().to_owned(),
        Err(error) => format!("{:#}", anyhow::Error::from(error)),
    }
}

#[tokio::test]
async fn a_secret_is_read_where_it_stands() {
    let project = TempProject::new(&[("secret", "from a file\n"), ("dos", "two\nlines\r\n")]);
    let root = project.path();
    let file = |name: &str| SecretPlace::File(name.into());
    assert_eq!("from a file", read(root, file("secret")).await);
    assert_eq!("two\nlines", read(root, file("dos")).await);
    let whole = SecretPlace::File(project.join("secret"));
    assert_eq!("from a file", read(root, whole).await);
    let argv = ["cat", "secret"].map(str::to_owned).to_vec();
    assert_eq!("from a file", read(root, SecretPlace::Command(argv)).await);
    let named = SecretPlace::Variable("PATH".to_owned());
    assert!(read(root, named).await.contains("/bin"));
    let inline = SecretPlace::Inline(Secret::new("x"));
    assert_eq!("x", read(root, inline).await);
}

#[tokio::test]
async fn a_credential_is_what_systemd_hands_over() {
    let given = TempProject::new(&[("rabbit", "from systemd")]);
    let environment = Environment {
        credentials: Some(given.path().to_owned()),
        ..environment()
    };
    let vault = Vault {
        project: Path::new("/"),
        environment: &environment,
    };
    let place = SecretPlace::Credential("rabbit".to_owned());
    let secret = vault.secret(&place).await.unwrap();
    assert_eq!("from systemd", secret.reveal());
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_an_error_that_names_its_place() {
    let project = TempProject::new(&[("large", &"x".repeat(70_000))]);
    let root = project.path();
    let check = async |place: SecretPlace, expected: &str| {
        let said = read(root, place).await;
        assert!(said.contains(expected), "{said}");
    };
    let place = format!("cannot find `{}/none`", root.display());
    check(SecretPlace::File("none".into()), &place).await;
    check(SecretPlace::File("large".into()), "more than 64 KiB").await;
    check(
        SecretPlace::Variable("LARIAT_NOT_SET".to_owned()),
        "`LARIAT_NOT_SET` is not set",
    )
    .await;
    check(SecretPlace::Credential("x".to_owned()), "LoadCredential=").await;
    let fails = SecretPlace::Command(vec!["false".to_owned()]);
    check(
        fails,
        "`false` does not give it: it ended with exit status: 1",
    )
    .await;
}

#[test]
fn no_secret_is_printed() {
    let places = [
        SecretPlace::Inline(Secret::new("hunter2")),
        SecretPlace::Command(vec!["tool".to_owned(), "hunter2".to_owned()]),
    ];
    assert!(!format!("{places:?}").contains("hunter2"), "{places:?}");
}
