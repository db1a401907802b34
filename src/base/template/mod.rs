//! `{parameter}` templates: parsed once, expanded with escaping for the place
//! where each parameter stands.
//!
//! Two kinds: [`Template`] is any text and expands to the values as they are;
//! [`UrlTemplate`] knows the parts of a URL and lets no value leave its own.

mod error;
mod escape;
mod text;
mod url;

pub use error::{ExpandError, TemplateError};
pub use escape::{encode_form, encode_json, encode_pair, encode_strict};
pub use text::{Lookup, Template};
pub use url::UrlTemplate;
