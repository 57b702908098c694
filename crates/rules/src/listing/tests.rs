use super::{Listing, NameError, check_name};

#[test]
fn only_plain_relative_names_are_names() {
    for (name, expect) in [
        ("a.yml", Ok(())),
        ("a/b c.yml", Ok(())),
        ("", Err(NameError::Empty)),
        ("/etc/passwd", Err(NameError::Absolute)),
        ("~/x", Err(NameError::Absolute)),
        ("../x", Err(NameError::Escapes)),
        ("a/../b", Err(NameError::Escapes)),
        ("a/..", Err(NameError::Escapes)),
        ("a//b", Err(NameError::EmptyPart)),
        ("./a", Err(NameError::EmptyPart)),
        ("a/", Err(NameError::EmptyPart)),
        ("-v", Err(NameError::Dash)),
        ("a\\..\\b", Err(NameError::Character('\\'))),
        ("a\0b", Err(NameError::Character('\0'))),
        ("a\nb", Err(NameError::Character('\n'))),
    ] {
        assert_eq!(expect, check_name(name), "{name:?}");
    }
    assert_eq!(Err(NameError::TooLong), check_name(&"a".repeat(1_025)));
}

#[test]
fn playbooks_are_looked_for_in_their_directory_first() {
    let listing = Listing::new(&[
        "site.yml".to_owned(),
        "playbooks/site.yml".to_owned(),
        "other.yml".to_owned(),
        "inventory/prod/hosts".to_owned(),
    ]);
    assert_eq!(
        Some("playbooks/site.yml"),
        listing.playbook("site.yml").as_deref()
    );
    assert_eq!(Some("other.yml"), listing.playbook("other.yml").as_deref());
    assert_eq!(None, listing.playbook("none.yml"));
    assert_eq!(None, listing.playbook("inventory/prod"));
    assert!(listing.has_directory("inventory/prod"));
    assert!(!listing.has_directory("inventory/pro"));
    assert_eq!(Some("site.yml"), listing.similar("sites.yml"));
}
