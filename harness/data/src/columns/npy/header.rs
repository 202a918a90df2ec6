//! The dictionary in a `.npy` header: a Python literal of three keys.

/// What the header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The dtype: `<f8`; for records the whole list as written.
    pub(super) descr: String,
    /// Whether the first index runs fastest.
    pub(super) fortran_order: bool,
    /// Lengths of the dimensions.
    pub(super) shape: Vec<u64>,
}

impl Header {
    /// Parses `{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }`, keys in any order.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut rest = Cursor { text, at: 0 };
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        rest.require(b'{')?;
        while !rest.accept(b'}') {
            let key = rest.string()?;
            rest.require(b':')?;
            let again = match key.as_str() {
                "descr" => descr.replace(rest.descr()?).is_some(),
                "fortran_order" => fortran_order.replace(rest.boolean()?).is_some(),
                "shape" => shape.replace(rest.shape()?).is_some(),
                _ => return Err(format!("there is an unknown key {key:?}")),
            };
            if again {
                return Err(format!("there are two keys {key:?}"));
            }
            if !rest.accept(b',') {
                rest.require(b'}')?;
                break;
            }
        }
        if !rest.text[rest.at..].trim_ascii().is_empty() {
            return Err("there is something after the dictionary".to_owned());
        }
        Ok(Self {
            descr: descr.ok_or("there is no 'descr'")?,
            fortran_order: fortran_order.ok_or("there is no 'fortran_order'")?,
            shape: shape.ok_or("there is no 'shape'")?,
        })
    }

    /// The shape as NumPy writes it.
    pub(super) fn shape_text(&self) -> String {
        match &self.shape[..] {
            [one] => format!("({one},)"),
            shape => {
                let lengths: Vec<_> = shape.iter().map(u64::to_string).collect();
                format!("({})", lengths.join(", "))
            }
        }
    }
}

/// A place in the header.
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn require(&mut self, byte: u8) -> Result<(), String> {
        let place = self.at;
        if self.accept(byte) {
            return Ok(());
        }
        Err(format!("there is no '{}' at byte {place}", byte.escape_ascii()))
    }

    /// A quoted string without escapes.
    fn string(&mut self) -> Result<String, String> {
        let quote = self.peek().filter(|byte| b"'\"".contains(byte));
        let quote =
            quote.ok_or_else(|| format!("there is no quoted string at byte {}", self.at))?;
        let start = self.at + 1;
        let length = self.text[start..].iter().position(|&byte| byte == quote);
        let length = length.ok_or_else(|| format!("the string at byte {start} has no end"))?;
        self.at = start + length + 1;
        Ok(String::from_utf8_lossy(&self.text[start..start + length]).into_owned())
    }

    /// A dtype: a string, or the list of a record's fields, which is kept as written.
    fn descr(&mut self) -> Result<String, String> {
        if self.peek() != Some(b'[') {
            return self.string();
        }
        let (start, mut depth) = (self.at, 0_usize);
        while let Some(byte) = self.peek() {
            match byte {
                b'[' => depth += 1,
                b']' => depth -= 1,
                b'\'' | b'"' => {
                    self.string()?;
                    continue;
                }
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(String::from_utf8_lossy(&self.text[start..self.at]).into_owned());
            }
        }
        Err(format!("the list at byte {start} has no end"))
    }

    fn boolean(&mut self) -> Result<bool, String> {
        self.peek();
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(format!("there is no True or False at byte {}", self.at))
    }

    /// A tuple of whole numbers; Python 2 wrote an `L` after some.
    fn shape(&mut self) -> Result<Vec<u64>, String> {
        self.require(b'(')?;
        let mut shape = Vec::new();
        while !self.accept(b')') {
            self.peek();
            let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit());
            let end = self.at + digits.count();
            let number = std::str::from_utf8(&self.text[self.at..end]).unwrap_or_default();
            let number = number
                .parse()
                .map_err(|_| format!("there is no length below 2^64 at byte {}", self.at))?;
            shape.push(number);
            self.at = end;
            self.accept(b'L');
            if !self.accept(b',') {
                self.require(b')')?;
                break;
            }
        }
        Ok(shape)
    }
}
