//! Examples as a person sees them: the ends of a ranking of items, to look at.

use data::text::spelling::Spelling;
use stats::estimates::results::{Look, Shown};
use tch::{Device, Kind, TchError, Tensor};

use lab::LabError;
use lab::side_info::SideInfo;
use lab::split::Split;

/// Tokens and characters of a text that is shown.
const TOKENS: i64 = 160;
/// Numbers of an input that are shown.
const NUMBERS: i64 = 6;
/// Channels of a coloured picture.
const COLOURS: usize = 3;

/// How training examples become something to look at.
#[derive(Debug)]
pub struct Viewer<'a> {
    split: &'a Split,
    side: &'a SideInfo,
    spelling: Option<Spelling>,
}

impl<'a> Viewer<'a> {
    /// Of the examples of `split`, of which `side` tells what they are; tokens are read by `spelling`, and
    /// without one are numbers.
    #[must_use]
    pub fn new(split: &'a Split, side: &'a SideInfo, spelling: Option<Spelling>) -> Self {
        Self { split, side, spelling }
    }

    /// Example `id` (counted from 0): as a picture where inputs are some, as text where they are tokens,
    /// else as its first numbers.
    ///
    /// # Errors
    /// When the id is outside the split.
    pub fn shown(&self, id: u32) -> Result<Shown, LabError> {
        let stored = self.split.stored.f_get(i64::from(id))?.f_to_device(Device::Cpu)?;
        let look = if self.side.tokens.is_some() {
            self.text(&stored)?
        } else if let Some(picture) = self.picture(&stored)? {
            picture
        } else {
            numbers(&stored)?
        };
        Ok(Shown { id, label: self.label(id)?, look })
    }

    /// The group's name, or else the class.
    fn label(&self, id: u32) -> Result<Option<String>, LabError> {
        let group = self.side.groups.get(id as usize).copied();
        if let Some(name) = group.and_then(|group| self.side.group_names.get(group as usize)) {
            return Ok(Some(name.clone()));
        }
        let label = self.split.labels.f_get(i64::from(id))?;
        if self.side.classes.is_none() || label.dim() != 0 {
            return Ok(None);
        }
        Ok(Some(format!("class {}", label.f_int64_value(&[])?)))
    }

    /// Sequence after sequence where an example packs several.
    fn text(&self, stored: &Tensor) -> Result<Look, TchError> {
        let flat = stored.f_reshape([-1])?;
        let length = TOKENS.min(flat.numel() as i64);
        let tokens: Vec<i64> =
            Vec::try_from(&flat.f_narrow(0, 0, length)?.f_to_kind(Kind::Int64)?)?;
        let known = |token: &i64| u16::try_from(*token).ok();
        let text = match &self.spelling {
            Some(spelling) => spelling.decode(&tokens.iter().filter_map(known).collect::<Vec<_>>()),
            None => tokens.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        };
        Ok(Look::Text { text: text.chars().take(TOKENS as usize).collect() })
    }

    /// Stored as H × W × C, or, as a row of numbers, C × H × W.
    fn picture(&self, stored: &Tensor) -> Result<Option<Look>, TchError> {
        let size: Vec<usize> =
            stored.size().iter().filter_map(|side| usize::try_from(*side).ok()).collect();
        let ([height, width, channels], pixels) = match (size[..].try_into(), self.side.picture) {
            (Ok(sides), _) => (sides, stored.shallow_clone()),
            (Err(_), Some(sides @ [height, width, channels]))
                if size == [height * width * channels] =>
            {
                let sides_first = [channels, height, width].map(|side| side as i64);
                (sides, stored.f_view(sides_first)?.f_permute([1, 2, 0])?)
            }
            _ => return Ok(None),
        };
        let coloured = channels == COLOURS;
        let pixels = if coloured {
            pixels
        } else {
            pixels.f_to_kind(Kind::Double)?.f_mean_dim(2, false, Kind::Double)?
        };
        let values: Vec<f64> =
            Vec::try_from(&pixels.f_to_kind(Kind::Double)?.f_contiguous()?.f_reshape([-1])?)?;
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let scale = if high > low { 255.0 / (high - low) } else { 0.0 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 255 by the scale; what is no number is 0"
        )]
        let byte = |value: f64| ((value - low) * scale).round() as u8;
        let values = values.into_iter().map(byte).collect();
        Ok(Some(Look::Pixels { height, width, values }))
    }
}

fn numbers(stored: &Tensor) -> Result<Look, TchError> {
    let flat = stored.f_reshape([-1])?;
    let of = flat.numel();
    let first = flat.f_narrow(0, 0, NUMBERS.min(of as i64))?;
    Ok(Look::Numbers { values: Vec::try_from(&first.f_to_kind(Kind::Double)?)?, of })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::side_info::Tokens;

    fn split(stored: Tensor) -> Split {
        let labels = Tensor::arange(stored.size()[0], (Kind::Int64, Device::Cpu));
        Split { stored, labels, groups: Vec::new() }
    }

    fn floats(size: &[i64]) -> Tensor {
        Tensor::arange(size.iter().product::<i64>(), (Kind::Float, Device::Cpu)).view(size)
    }

    #[test]
    fn an_image_is_the_same_picture_stored_flat_or_not() {
        let image = floats(&[2, 2, 3, 3]);
        let flat = image.permute([0, 3, 1, 2]).reshape([2, 18]);
        let whole = SideInfo { classes: Some(2), ..SideInfo::default() };
        let told = SideInfo { picture: Some([2, 3, 3]), ..whole.clone() };
        let (image, flat) = (split(image), split(flat));
        let seen = Viewer::new(&image, &whole, None).shown(1).unwrap();
        assert_eq!(seen.label.as_deref(), Some("class 1"));
        let Look::Pixels { height, width, values } = &seen.look else { panic!("{seen:?}") };
        assert_eq!((*height, *width, values.len()), (2, 3, 18));
        assert_eq!((values[0], values[1], values[17]), (0, 15, 255));
        assert_eq!(Viewer::new(&flat, &told, None).shown(1).unwrap(), seen);
        // Of rows that nobody calls images the first numbers are shown.
        let row = Viewer::new(&flat, &whole, None).shown(0).unwrap().look;
        let Look::Numbers { values, of } = row else { panic!("{row:?}") };
        assert_eq!((values, of), (vec![0.0, 3.0, 6.0, 9.0, 12.0, 15.0], 18));
    }

    #[test]
    fn a_picture_of_one_brightness_is_black_and_other_channels_are_averaged() {
        let side = SideInfo::default();
        let still = split(Tensor::ones([1, 2, 2, 1], (Kind::Float, Device::Cpu)));
        let Look::Pixels { values, .. } = Viewer::new(&still, &side, None).shown(0).unwrap().look
        else {
            panic!()
        };
        assert_eq!(values, [0; 4]);
        let two = split(floats(&[1, 1, 3, 2]));
        let Look::Pixels { values, .. } = Viewer::new(&two, &side, None).shown(0).unwrap().look
        else {
            panic!()
        };
        assert_eq!(values, [0, 128, 255]);
    }

    #[test]
    fn tokens_are_read_by_their_spelling_and_are_numbers_without_one() {
        let tokens = Tokens { vocabulary: 3, context: 4, end: None, mask: None, first_ordinary: 0 };
        let names = vec!["first".to_owned(), "second".to_owned()];
        let side = SideInfo {
            tokens: Some(tokens),
            group_names: names,
            groups: vec![1, 0],
            ..SideInfo::default()
        };
        let stored = Tensor::from_slice(&[0_i64, 2, 1, 1, 0, 2, 2, 2]).view([2, 2, 2]);
        let split = split(stored);
        let spelling = Spelling::Character { alphabet: "abc".to_owned() };
        let seen = |spelling| Viewer::new(&split, &side, spelling).shown(0).unwrap();
        let text = |text: &str| Look::Text { text: text.to_owned() };
        assert_eq!(seen(Some(spelling)).look, text("acbb"));
        assert_eq!(seen(None).look, text("0 2 1 1"));
        assert_eq!(seen(None).label.as_deref(), Some("second"));
        assert!(Viewer::new(&split, &side, None).shown(2).is_err());
    }
}
