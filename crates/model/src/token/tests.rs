use super::*;

#[test]
fn a_token_is_read_back_and_names_itself() {
    let secret = Secret::generate().unwrap();
    let text = secret.reveal();
    assert_eq!(LENGTH, text.len());
    assert_eq!(secret, text.parse().unwrap());
    assert!(text.contains(secret.id().as_str()));
    assert!(secret.hash().is(&text.parse::<Secret>().unwrap().hash()));
    let other = Secret::generate().unwrap();
    assert!(!secret.hash().is(&other.hash()));
    assert_eq!("[secret]", format!("{secret:?}"));
}

#[test]
fn what_is_no_token_is_told_apart_from_a_slip() {
    let secret = Secret::generate().unwrap();
    let text = secret.reveal().to_owned();
    let last = if text.ends_with('0') { '1' } else { '0' };
    let slip = format!("{}{last}", text.get(..text.len() - 1).unwrap());
    assert_eq!(Err(SecretError::Checksum), slip.parse::<Secret>());
    for wrong in [
        String::new(),
        "lariat_".to_owned(),
        text.to_uppercase(),
        text.replace("lariat_", "lariat-"),
        format!("{text}0"),
        text.get(..text.len() - 1).unwrap().to_owned(),
        format!("lariat_{}", "é".repeat(40)),
        format!("lariat_00000000000é_{}", "0".repeat(71)),
        format!(" {}", text.get(..text.len() - 1).unwrap()),
    ] {
        assert_eq!(Err(SecretError::Form), wrong.parse::<Secret>(), "{wrong}");
    }
}

#[test]
fn a_role_may_do_what_those_before_it_may() {
    assert!(Role::ALL.is_sorted());
    for role in Role::ALL {
        assert_eq!(Ok(role), role.as_str().parse());
    }
    assert!("root".parse::<Role>().is_err());
}

#[test]
fn a_token_ends_at_the_moment_it_expires() {
    let at = Timestamp::from_millis;
    let token = Token {
        id: "0123456789ab".parse().unwrap(),
        name: "ci".parse().unwrap(),
        role: Role::Viewer,
        created: at(0),
        created_by: Principal("local".to_owned()),
        expires: Some(at(100)),
        last_used: None,
        revoked: None,
    };
    assert_eq!(Standing::Live, token.standing(at(99)));
    assert_eq!(Standing::Expired, token.standing(at(100)));
    let revoked = Token {
        revoked: Some((at(5), Principal("ann".to_owned()))),
        ..token
    };
    assert_eq!(Standing::Revoked, revoked.standing(at(99)));
}

#[test]
fn names_of_who_asks_without_a_token_are_reserved_in_any_case() {
    for name in ["api", "LARIAT", "Local", "signal"] {
        assert!(name.parse::<TokenName>().unwrap().is_reserved(), "{name}");
    }
    assert!(!"lariat-ci".parse::<TokenName>().unwrap().is_reserved());
}
