//! A configuration: whatever the text, it is loaded or every mistake has a place.

/// The whole text of a file.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // A scalar may be `{file: PATH}`: a terminal would be waited for.
    if text.contains("/dev") {
        return;
    }
    let environment = |name: &str| (name == "SET").then(|| "value".to_owned());
    match sidekey::config::load_text("fuzz.yaml", text, &environment) {
        Ok(config) => {
            let _ = format!("{config:?}");
        }
        Err(mistakes) => {
            assert!(mistakes.errors() > 0);
            let placed = |m: &sidekey::config::mistakes::Mistake| {
                m.place.is_none_or(|p| p.line > 0 && p.column > 0)
            };
            assert!(mistakes.iter().all(placed));
            let _ = mistakes.render(true);
        }
    }
}
