//! What pages carry along: style, script, and the policy by which a browser runs these and nothing else.

use std::sync::LazyLock;

use base64ct::{Base64, Encoding as _};
use ledger::digest::Digest;

/// How all pages look.
const STYLE: &str = include_str!("../../templates/style.css");

/// What pages do beside being read.
const SCRIPT: &str = concat!(
    "\"use strict\";\n(() => {\n",
    include_str!("../../templates/script/tables.js"),
    include_str!("../../templates/script/axes.js"),
    include_str!("../../templates/script/figure.js"),
    include_str!("../../templates/script/stills.js"),
    include_str!("../../templates/script/seal.js"),
    include_str!("../../templates/script/start.js"),
    "})();\n"
);

/// Content Security Policy of a page: nothing is loaded from anywhere, and of scripts and styles only ours
/// by their digests run, so that no name or note can become one.
fn policy() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let of = |text: &str| Base64::encode_string(Digest::of(text.as_bytes()).as_bytes());
        format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
            of(SCRIPT),
            of(STYLE)
        )
    });
    &POLICY
}

/// What stands around the content of every page, in `templates/base.html`.
pub(crate) struct Head {
    /// The Content Security Policy; none for a page with style attributes, which has no script either.
    pub(crate) policy: Option<&'static str>,
    pub(crate) style: &'static str,
    pub(crate) script: Option<&'static str>,
}

impl Head {
    /// Of a page whose tables and figures answer.
    pub(crate) fn with_script() -> Self {
        Self { policy: Some(policy()), style: STYLE, script: Some(SCRIPT) }
    }

    /// Of a page in the same style that only stands there.
    pub(crate) fn without_script() -> Self {
        Self { script: None, ..Self::with_script() }
    }

    /// Of a page in a style of its own, with attributes of style, that only stands there.
    pub(crate) fn with_style(style: &'static str) -> Self {
        Self { policy: None, style, script: None }
    }
}

/// JSON that can stand in a script element: no text of it ends the element.
pub(crate) fn embedded(json: &str) -> String {
    json.replace('<', "\\u003c")
}
