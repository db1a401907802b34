use super::stage::account;
use crate::account::ConnectedAccount;
use crate::base::counting::left_behind;
use crate::base::secret::Secret;
use crate::base::template::Template;
use crate::config::checked::Placement;
use crate::refresh::attach::build;
use crate::token::TokenPlace;
use proptest::prelude::{any, prop_assert_eq, proptest};
use std::sync::Arc;
use url::Url;

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn in_query(name: &str) -> ConnectedAccount {
    let mut account = account(1, None);
    let plan = Arc::make_mut(&mut account.attach);
    plan.place = Placement::Query;
    plan.name = name.to_owned();
    plan.value = Template::parse("{token}").unwrap();
    plan.query = vec![("own name".to_owned(), "a&b=c".to_owned())];
    account
}

#[test]
fn a_header_is_prebuilt_and_sensitive() {
    let attach = build(&account(1, None).attach, &secret("abc.DEF-1~+/=")).unwrap();
    let TokenPlace::Header { name, value } = attach.token else {
        panic!("not a header")
    };
    assert_eq!(name, "authorization");
    assert_eq!(value, "Bearer abc.DEF-1~+/=");
    assert!(value.is_sensitive());
}

#[test]
fn a_token_that_a_header_cannot_hold_is_refused_and_not_repeated() {
    for bad in [
        "hunter2\r\nX: y",
        "hunter2\n",
        "hunter2\0",
        "hunter2\u{7f}",
        "hunter2ä",
    ] {
        let error = build(&account(1, None).attach, &secret(bad)).err().unwrap();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn a_query_pair_is_encoded_strictly() {
    let attach = build(&in_query("access_token").attach, &secret("a+b/c=&#é ~")).unwrap();
    let TokenPlace::Query(pair) = attach.token else {
        panic!("not in the query")
    };
    assert_eq!(&*pair.name, "access_token");
    assert_eq!(
        pair.encoded.expose(),
        "access_token=a%2Bb%2Fc%3D%26%23%C3%A9%20~"
    );
    assert_eq!(attach.query[0].encoded.expose(), "own%20name=a%26b%3Dc");
}

proptest! {
    #[test]
    fn what_goes_in_comes_out_of_a_url(name in any::<String>(), token in any::<String>()) {
        let attach = build(&in_query(&name).attach, &secret(&token)).unwrap();
        let TokenPlace::Query(pair) = attach.token else {
            panic!("not in the query")
        };
        let url: Url = format!("https://a.example/?x=1&{}", pair.encoded.expose()).parse().unwrap();
        let (sent_name, sent_token) = url.query_pairs().nth(1).unwrap();
        prop_assert_eq!(&*sent_name, name.as_str());
        prop_assert_eq!(&*sent_token, token.as_str());
        prop_assert_eq!(url.query_pairs().count(), 2);
        prop_assert_eq!(url.fragment(), None);
    }
}

/// Wherever the token stands, of what is built for it and dropped nothing is left.
#[test]
fn no_copy_of_a_token_stays_in_memory() {
    let long = format!("s3cret&{}", "x".repeat(900));
    let mut wide = in_query("access_token");
    let plan = Arc::make_mut(&mut wide.attach);
    plan.value = Template::parse("a {token} b {token}").unwrap();
    for account in [account(1, None), in_query("access_token"), wide] {
        let token = secret(&long);
        let left = left_behind("s3cret", || {
            drop(build(&account.attach, &token).unwrap());
            drop(token);
        });
        assert_eq!(left, 0, "{:?}", account.attach.place);
    }
}
