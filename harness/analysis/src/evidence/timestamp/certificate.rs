//! What of a certificate (RFC 5280) decides whether it may stand behind a timestamp; `webpki` judges the rest.

use std::fmt::Write as _;

use der::Tag;
use der::asn1::ObjectIdentifier;

use super::read::{Element, SignerId, explicit, only, seconds};

const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
/// The use of certificates that sign timestamps.
const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");

/// A certificate, read as far as needed.
pub(super) struct Certificate<'a> {
    issuer: &'a [u8],
    serial: &'a [u8],
    subject: Element<'a>,
    from: u64,
    until: u64,
    extensions: Vec<Extension<'a>>,
}

struct Extension<'a> {
    name: ObjectIdentifier,
    critical: bool,
    value: &'a [u8],
}

impl<'a> Certificate<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = only(bytes)?.inside(Tag::Sequence)?.next()?.inside(Tag::Sequence)?;
        let _version = fields.next_if(explicit(0));
        let serial = fields.take(Tag::Integer)?;
        fields.take(Tag::Sequence)?;
        let issuer = fields.next()?.whole;
        let mut validity = fields.next()?.inside(Tag::Sequence)?;
        let (from, until) = (time(validity.next()?)?, time(validity.next()?)?);
        validity.end()?;
        let subject = fields.next()?;
        fields.take(Tag::Sequence)?;
        let mut extensions = Vec::new();
        for field in fields.all()? {
            // Before them may stand unique identifiers, which nobody uses.
            if let Some(mut inside) = field.inside(explicit(3)) {
                for extension in inside.next()?.inside(Tag::Sequence)?.all()? {
                    extensions.push(Extension::of(extension)?);
                }
                inside.end()?;
            }
        }
        Some(Self { issuer, serial, subject, from, until, extensions })
    }

    /// The extension of a name; `None` outside when it stands twice.
    fn extension(&self, name: &ObjectIdentifier) -> Option<Option<&Extension<'a>>> {
        let mut found = self.extensions.iter().filter(|extension| extension.name == *name);
        let first = found.next();
        found.next().is_none().then_some(first)
    }

    /// Whether it is the one that a signature says it is of.
    pub(super) fn is_named(&self, id: &SignerId<'_>) -> bool {
        match id {
            SignerId::Number { issuer, serial } => (self.issuer, self.serial) == (*issuer, *serial),
            SignerId::Key(key) => {
                let found = self.extension(&KEY_IDENTIFIER).flatten();
                let found = found.and_then(|found| only(found.value)?.is(Tag::OctetString));
                found == Some(*key)
            }
        }
    }

    /// Whether it may issue others: it says so, or it is of the oldest kind and issued itself.
    pub(super) fn is_authority(&self) -> bool {
        match self.extension(&BASIC_CONSTRAINTS) {
            Some(Some(found)) => {
                let fields = only(found.value).and_then(|value| value.inside(Tag::Sequence));
                fields.is_some_and(|mut fields| fields.next_if(Tag::Boolean).is_some_and(is_true))
            }
            Some(None) => self.subject.whole == self.issuer,
            None => false,
        }
    }

    /// Whether its key may sign certificates: it says so, or nothing of its key's use.
    pub(super) fn signs_others(&self) -> bool {
        match self.extension(&KEY_USAGE) {
            Some(Some(usage)) => usage.key_usage().is_some_and(|bits| bits & 0x04 != 0),
            Some(None) => true,
            None => false,
        }
    }

    /// It may sign timestamps, and nothing else, and was valid then.
    pub(super) fn check_use(&self, unix: u64, shown: fn(u64) -> String) -> Result<(), String> {
        let malformed = || "cannot be read".to_owned();
        let uses = self.extension(&EXTENDED_KEY_USAGE).ok_or_else(malformed)?;
        let uses = uses.ok_or("is not one for timestamps")?;
        let names = only(uses.value).and_then(|value| value.inside(Tag::Sequence)?.all());
        let names: Option<Vec<_>> =
            names.and_then(|names| names.into_iter().map(Element::name).collect());
        let names = names.ok_or_else(malformed)?;
        if !names.contains(&TIME_STAMPING) {
            return Err("is not one for timestamps".to_owned());
        }
        if names.len() > 1 {
            return Err("is for timestamps and for something else, too".to_owned());
        }
        if !uses.critical {
            return Err("does not say as critical that it is for timestamps".to_owned());
        }
        if let Some(usage) = self.extension(&KEY_USAGE).ok_or_else(malformed)? {
            // Signatures, and such as cannot be denied.
            if usage.key_usage().is_none_or(|bits| bits & 0xc0 == 0) {
                return Err("is of a key that signs no documents".to_owned());
            }
        }
        if !(self.from..=self.until).contains(&unix) {
            return Err(format!(
                "was not valid on {}, the time stated, but from {} until {}",
                shown(unix),
                shown(self.from),
                shown(self.until)
            ));
        }
        Ok(())
    }

    /// Whom it is of: `CN=Stamp E, O=Example Time`.
    pub(super) fn subject(&self) -> String {
        subject(self.subject).unwrap_or_else(|| "an authority whose name cannot be read".to_owned())
    }
}

impl<'a> Extension<'a> {
    fn of(element: Element<'a>) -> Option<Self> {
        let mut fields = element.inside(Tag::Sequence)?;
        let name = fields.name()?;
        let critical = fields.next_if(Tag::Boolean).is_some_and(is_true);
        let value = fields.take(Tag::OctetString)?;
        fields.end()?;
        Some(Self { name, critical, value })
    }

    /// The first uses of a key, which stand behind the number of bits unused.
    fn key_usage(&self) -> Option<u8> {
        only(self.value)?.is(Tag::BitString)?.get(1).copied()
    }
}

fn is_true(element: Element<'_>) -> bool {
    element.value == [0xff]
}

/// A time of a certificate: of two digits for the year until 2049, of four behind it.
fn time(element: Element<'_>) -> Option<u64> {
    match element.tag {
        Tag::GeneralizedTime => seconds(element.value),
        Tag::UtcTime => {
            let early = element.value.first()? < &b'5';
            let century: &[u8] = if early { b"20" } else { b"19" };
            seconds(&[century, element.value].concat())
        }
        _ => None,
    }
}

/// The parts of a name that people know, the last first.
fn subject(name: Element<'_>) -> Option<String> {
    let mut parts = Vec::new();
    for set in name.inside(Tag::Sequence)?.all()? {
        for attribute in set.inside(Tag::Set)?.all()? {
            let mut fields = attribute.inside(Tag::Sequence)?;
            let kind = fields.name()?;
            let value = fields.next()?;
            let short = match kind.to_string().as_str() {
                "2.5.4.3" => "CN",
                "2.5.4.10" => "O",
                "2.5.4.11" => "OU",
                "2.5.4.6" => "C",
                _ => continue,
            };
            let text = match value.tag {
                Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => {
                    String::from_utf8_lossy(value.value).into_owned()
                }
                _ => hexadecimal(value.value),
            };
            parts.push(format!("{short}={text}"));
        }
    }
    parts.reverse();
    if parts.is_empty() {
        Some("an authority without a name".to_owned())
    } else {
        Some(parts.join(", "))
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold("#".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
