//! Whatever the text, there is an answer.

use super::load;
use proptest::prelude::{Just, ProptestConfig, any, prop_oneof, proptest};
use proptest::sample::Index;
use proptest::strategy::Strategy;

const EVERY_KEY: &str = include_str!("../../../config/every-key.yaml");

/// Text to put in place of some of the file.
fn noise() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ \n:{}\\[\\],&*'\"|>#%0-9a-z/.-]{0,12}",
        Just("{env: SET}".to_owned()),
        Just("{file: /}".to_owned()),
        Just("{token}".to_owned()),
        Just("~".to_owned()),
        Just("\n".to_owned()),
        Just(String::new()),
    ]
}

fn boundary(text: &str, index: &Index) -> usize {
    let mut at = index.index(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn on_any_text(text in any::<String>()) {
        if let Err(mistakes) = load(&text) {
            assert!(mistakes.errors() > 0);
            let _ = mistakes.render(true);
        }
    }

    #[test]
    fn on_a_good_file_with_stretches_exchanged(
        edits in proptest::collection::vec((any::<Index>(), 0usize..24, noise()), 1..4)
    ) {
        let mut text = EVERY_KEY.to_owned();
        for (at, length, noise) in edits {
            let start = boundary(&text, &at);
            let mut end = text.len().min(start + length);
            while !text.is_char_boundary(end) {
                end += 1;
            }
            text.replace_range(start..end, &noise);
        }
        if let Err(mistakes) = load(&text) {
            assert!(mistakes.errors() > 0);
            assert!(mistakes.iter().all(|m| m.place.is_some_and(|p| p.line > 0 && p.column > 0)));
            let _ = mistakes.render(false);
        }
    }
}
