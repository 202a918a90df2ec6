//! The parts of a timestamp, out of DER: response (RFC 3161), CMS (RFC 5652), attributes (RFC 5035) and what was stated.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{DateTime, Decode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _};

use super::{MOST_CERTIFICATES, TimestampError};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const STATEMENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
const CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

/// A timestamp, taken apart.
pub(super) struct Signed<'a> {
    /// DER of what is stated: what was signed.
    pub content: &'a [u8],
    /// What is stated.
    pub info: Info,
    /// DER of the certificates that came along.
    pub certificates: Vec<&'a [u8]>,
    /// Its only signer.
    pub signer: Signer<'a>,
}

/// What an authority states.
pub(super) struct Info {
    /// Algorithm of the digest.
    pub algorithm: ObjectIdentifier,
    /// The digest that was there.
    pub imprint: Vec<u8>,
    /// When.
    pub unix: u64,
}

/// Who signed, and what.
pub(super) struct Signer<'a> {
    /// The certificate's name.
    pub id: SignerId<'a>,
    /// Algorithm of the digest.
    pub digest: ObjectIdentifier,
    /// The attributes as they were signed: as a set.
    pub attributes: Vec<u8>,
    /// The digest of the content among them.
    pub content_digest: &'a [u8],
    /// Those of the signer's certificate among them, one or, by an old and a new algorithm, two.
    pub certificates: Vec<CertificateId<'a>>,
    /// Algorithm of the signature.
    pub algorithm: ObjectIdentifier,
    /// The signature.
    pub signature: &'a [u8],
}

/// How a signature names its certificate.
pub(super) enum SignerId<'a> {
    /// By the name of who issued it and its number.
    Number {
        /// DER of the issuer's name.
        issuer: &'a [u8],
        /// The number's bytes.
        serial: &'a [u8],
    },
    /// By the key's identifier.
    Key(&'a [u8]),
}

/// A certificate by its digest.
pub(super) struct CertificateId<'a> {
    /// None: SHA-1, of the first version of the attribute.
    pub algorithm: Option<ObjectIdentifier>,
    pub digest: &'a [u8],
}

/// One element of DER.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    pub tag: Tag,
    /// With tag and length.
    pub whole: &'a [u8],
    pub value: &'a [u8],
}

impl<'a> Element<'a> {
    pub(super) fn is(self, tag: Tag) -> Option<&'a [u8]> {
        (self.tag == tag).then_some(self.value)
    }

    pub(super) fn name(self) -> Option<ObjectIdentifier> {
        ObjectIdentifier::from_der(self.whole).ok()
    }

    /// The elements inside of an explicit tag, a sequence or a set.
    pub(super) fn inside(self, tag: Tag) -> Option<Fields<'a>> {
        Fields::of(self.is(tag)?)
    }
}

/// Elements one after the other.
pub(super) struct Fields<'a>(SliceReader<'a>);

impl<'a> Fields<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        SliceReader::new(bytes).ok().map(Self)
    }

    pub(super) fn next(&mut self) -> Option<Element<'a>> {
        let whole = self.0.tlv_bytes().ok()?;
        let any = AnyRef::from_der(whole).ok()?;
        Some(Element { tag: any.tag(), whole, value: any.value() })
    }

    fn peek(&self) -> Option<Tag> {
        Tag::peek(&self.0).ok()
    }

    /// The next element, if it is one of this tag.
    pub(super) fn next_if(&mut self, tag: Tag) -> Option<Element<'a>> {
        if self.peek()? == tag { self.next() } else { None }
    }

    pub(super) fn take(&mut self, tag: Tag) -> Option<&'a [u8]> {
        self.next()?.is(tag)
    }

    pub(super) fn name(&mut self) -> Option<ObjectIdentifier> {
        self.next()?.name()
    }

    /// An algorithm's identifier; those that are read have no parameters, or null, and what others have is passed over.
    fn algorithm(&mut self) -> Option<ObjectIdentifier> {
        let mut fields = self.next()?.inside(Tag::Sequence)?;
        let name = fields.name()?;
        fields.next();
        fields.end()?;
        Some(name)
    }

    pub(super) fn all(mut self) -> Option<Vec<Element<'a>>> {
        let mut all = Vec::new();
        while !self.0.is_finished() {
            all.push(self.next()?);
        }
        Some(all)
    }

    pub(super) fn end(&self) -> Option<()> {
        self.0.is_finished().then_some(())
    }
}

pub(super) fn explicit(number: u32) -> Tag {
    TagNumber(number).context_specific(true)
}

/// Takes a response, or the bare timestamp, apart.
pub(super) fn signed(bytes: &[u8]) -> Result<Signed<'_>, TimestampError> {
    let not = TimestampError::NotOne;
    let outer = only(bytes).ok_or(not("its frame"))?;
    let mut fields = outer.inside(Tag::Sequence).ok_or(not("its frame"))?;
    let first = fields.next().ok_or(not("its frame"))?;
    let content = match first.tag {
        Tag::ObjectIdentifier => outer,
        _ => {
            let status = status(first).ok_or(not("the status of the response"))?;
            if status > 1 {
                return Err(TimestampError::Refused(status));
            }
            let content = fields.next().ok_or(not("the response"))?;
            fields.end().ok_or(not("the response"))?;
            content
        }
    };
    let parts = signed_data(content).ok_or(not("the signed content"))?;
    let along = parts.certificates.len();
    if along > MOST_CERTIFICATES {
        return Err(TimestampError::Certificates(along));
    }
    Ok(Signed {
        content: parts.content,
        info: info(parts.content).ok_or(not("what it states"))?,
        certificates: parts.certificates,
        signer: signer(parts.signer)?,
    })
}

/// The element that all bytes are.
pub(super) fn only(bytes: &[u8]) -> Option<Element<'_>> {
    let mut fields = Fields::of(bytes)?;
    let element = fields.next()?;
    fields.end()?;
    Some(element)
}

/// 0 and 1 are granted.
fn status(element: Element<'_>) -> Option<u8> {
    let mut fields = element.inside(Tag::Sequence)?;
    match fields.take(Tag::Integer)? {
        [status] => Some(*status),
        _ => None,
    }
}

struct Parts<'a> {
    content: &'a [u8],
    certificates: Vec<&'a [u8]>,
    signer: Element<'a>,
}

fn signed_data(content: Element<'_>) -> Option<Parts<'_>> {
    let mut fields = content.inside(Tag::Sequence)?;
    if fields.name()? != SIGNED_DATA {
        return None;
    }
    let mut inside = fields.next()?.inside(explicit(0))?;
    fields.end()?;
    let mut fields = inside.next()?.inside(Tag::Sequence)?;
    inside.end()?;
    fields.take(Tag::Integer)?;
    fields.take(Tag::Set)?;
    let mut content = fields.next()?.inside(Tag::Sequence)?;
    if content.name()? != STATEMENT {
        return None;
    }
    let mut inside = content.next()?.inside(explicit(0))?;
    content.end()?;
    let content = inside.take(Tag::OctetString)?;
    inside.end()?;
    let certificates = match fields.next_if(explicit(0)) {
        Some(set) => Fields::of(set.value)?.all()?,
        None => Vec::new(),
    };
    // Lists of certificates taken back.
    fields.next_if(explicit(1));
    let mut signers = fields.next()?.inside(Tag::Set)?;
    fields.end()?;
    let signer = signers.next()?;
    signers.end()?;
    let certificates = certificates.into_iter().filter(|element| element.tag == Tag::Sequence);
    Some(Parts {
        content,
        certificates: certificates.map(|element| element.whole).collect(),
        signer,
    })
}

fn signer(element: Element<'_>) -> Result<Signer<'_>, TimestampError> {
    let not = || TimestampError::NotOne("the signature");
    let mut fields = element.inside(Tag::Sequence).ok_or_else(not)?;
    fields.take(Tag::Integer).ok_or_else(not)?;
    let id = fields.next().and_then(signer_id).ok_or_else(not)?;
    let digest = fields.algorithm().ok_or_else(not)?;
    let attributes = fields.next_if(explicit(0)).ok_or(TimestampError::Changed(
        "nothing but its content was signed: neither its kind nor the signer's certificate",
    ))?;
    let algorithm = fields.algorithm().ok_or_else(not)?;
    let signature = fields.take(Tag::OctetString).ok_or_else(not)?;
    // Attributes that nobody signed.
    fields.next_if(explicit(1));
    fields.end().ok_or_else(not)?;

    let signed = Attributes::of(attributes).ok_or_else(not)?;
    let kind = signed.one(&CONTENT_TYPE).ok_or_else(not)?.and_then(Element::name);
    if kind != Some(STATEMENT) {
        return Err(TimestampError::Changed("what was signed is no timestamp"));
    }
    let content_digest = signed.one(&MESSAGE_DIGEST).ok_or_else(not)?;
    let content_digest =
        content_digest.and_then(|value| value.is(Tag::OctetString)).ok_or_else(not)?;
    let mut certificates = Vec::new();
    for (name, first) in [(&CERTIFICATE_V2, false), (&CERTIFICATE, true)] {
        if let Some(value) = signed.one(name).ok_or_else(not)? {
            certificates.push(certificate_id(value, first).ok_or_else(not)?);
        }
    }
    if certificates.is_empty() {
        let none = "its signature names no certificate, so that another of the same key would do";
        return Err(TimestampError::Changed(none));
    }
    // Signed is the set, not the field of the record.
    let attributes = [&[0x31], attributes.whole.get(1..).unwrap_or_default()].concat();
    Ok(Signer { id, digest, attributes, content_digest, certificates, algorithm, signature })
}

fn signer_id(element: Element<'_>) -> Option<SignerId<'_>> {
    if let Some(key) = element.is(TagNumber(0).context_specific(false)) {
        return Some(SignerId::Key(key));
    }
    let mut fields = element.inside(Tag::Sequence)?;
    let issuer = fields.next()?.whole;
    let serial = fields.take(Tag::Integer)?;
    fields.end()?;
    Some(SignerId::Number { issuer, serial })
}

/// Attributes by name; each stands once, with one value.
struct Attributes<'a>(Vec<(ObjectIdentifier, Vec<Element<'a>>)>);

impl<'a> Attributes<'a> {
    fn of(set: Element<'a>) -> Option<Self> {
        let mut all = Vec::new();
        for attribute in Fields::of(set.value)?.all()? {
            let mut fields = attribute.inside(Tag::Sequence)?;
            let name = fields.name()?;
            let values = fields.next()?.inside(Tag::Set)?.all()?;
            fields.end()?;
            all.push((name, values));
        }
        Some(Self(all))
    }

    /// The value of an attribute; `None` outside when it has several, or stands twice.
    fn one(&self, name: &ObjectIdentifier) -> Option<Option<Element<'a>>> {
        let mut found = self.0.iter().filter(|(known, _)| known == name);
        match (found.next(), found.next()) {
            (None, _) => Some(None),
            (Some((_, values)), None) => match values.as_slice() {
                [value] => Some(Some(*value)),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The first certificate that the attribute names: the signer's.
fn certificate_id(value: Element<'_>, first_version: bool) -> Option<CertificateId<'_>> {
    let mut certificates = value.inside(Tag::Sequence)?.next()?.inside(Tag::Sequence)?;
    let mut fields = certificates.next()?.inside(Tag::Sequence)?;
    let algorithm = match (first_version, fields.peek()? == Tag::Sequence) {
        (true, _) => None,
        (false, true) => Some(fields.algorithm()?),
        (false, false) => Some(SHA256),
    };
    Some(CertificateId { algorithm, digest: fields.take(Tag::OctetString)? })
}

fn info(content: &[u8]) -> Option<Info> {
    let mut fields = only(content)?.inside(Tag::Sequence)?;
    if fields.take(Tag::Integer)? != [1] {
        return None;
    }
    let _policy = fields.name()?;
    let mut digest = fields.next()?.inside(Tag::Sequence)?;
    let algorithm = digest.algorithm()?;
    let imprint = digest.take(Tag::OctetString)?.to_vec();
    digest.end()?;
    let _number = fields.take(Tag::Integer)?;
    let unix = seconds(fields.take(Tag::GeneralizedTime)?)?;
    let _precision = fields.next_if(Tag::Sequence);
    let _ordered = fields.next_if(Tag::Boolean);
    let _nonce = fields.next_if(Tag::Integer);
    let _name = fields.next_if(explicit(0));
    if let Some(extensions) = fields.next_if(explicit(1)) {
        for extension in Fields::of(extensions.value)?.all()? {
            let mut fields = extension.inside(Tag::Sequence)?;
            fields.name()?;
            // What must not be passed over, and nobody here knows.
            if fields.next_if(Tag::Boolean).is_some() {
                return None;
            }
        }
    }
    fields.end()?;
    Some(Info { algorithm, imprint, unix })
}

/// `20261129194552Z`, with fractions of a second where there are some, which are cut off.
pub(super) fn seconds(time: &[u8]) -> Option<u64> {
    let time = std::str::from_utf8(time).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() != 14 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let number = |from: usize, to: usize| whole.get(from..to)?.parse::<u16>().ok();
    let small = |from: usize| u8::try_from(number(from, from + 2)?).ok();
    let time =
        DateTime::new(number(0, 4)?, small(4)?, small(6)?, small(8)?, small(10)?, small(12)?);
    Some(time.ok()?.unix_duration().as_secs())
}
