//! Skills that arrive in turn: classes of points by random teacher networks, one teacher a skill, asked about by a question that
//! names the skill.
//!
//! An input is an image of 12 coordinates, normal noise; a question, 2 at the place of one of eight skills and 0 elsewhere;
//! and a hint, 1 at the place of the class in a share of the examples, else 0. A skill's teacher is a network 12–16–4 with tanh, whose
//! largest output is the class. Training examples lie arrival after arrival; seven skills share these evenly, and the last is rare: 2 %
//! of all, in the second arrival. Within an arrival a share of the examples are near-duplicates: the image of an earlier one of the same
//! skill and arrival plus 0.02 times noise, with its hint and its label. A share of the labels that teachers give to training
//! examples is another class; held-out labels are right. Coordinates are rounded to multiples of 2⁻¹² before teachers see them, so that
//! ids do not hang on the last digit of a platform.

use ledger::digest::Digest;
use ledger::order::{bounded, generator, shuffle};
use ledger::sample::sample_id;
use ledger::streams::{normal_f64, unit_f64};
use rand_pcg::Pcg64;

use crate::error::DataError;
use crate::sequences::{Parts, Place, Sizes, distinct};

/// Coordinates of an image, which come first in an input.
pub const IMAGE: usize = 12;
/// Skills, and as many coordinates of a question.
pub const SKILLS: u32 = 8;
/// Classes of every skill, and as many coordinates of a hint.
pub const CLASSES: u32 = 4;
/// Coordinates of an input.
pub const DIMENSION: usize = IMAGE + SKILLS as usize + CLASSES as usize;
/// The skill that few examples belong to.
pub const RARE: u32 = SKILLS - 1;
/// Training examples of an arrival.
pub const ARRIVAL: u32 = 800;
/// The skills of each arrival.
pub const ARRIVALS: [&[u32]; 5] = [&[0, 1], &[2, RARE], &[3, 4], &[5], &[6]];
/// Training examples of the rare skill: 2 % of all.
const RARE_EXAMPLES: u32 = 80;
/// Examples to validate and to test on, as many of every skill.
pub const HELD_OUT: [u32; 2] = [1_000, 2_000];

const HIDDEN: usize = 16;
/// Standard deviation of the first layer's weights, times the root of its inputs.
const STEEP: f64 = 1.5;
/// What a question has at the place of its skill.
const ASKED: f32 = 2.0;
/// How far a near-duplicate is from what it repeats, per coordinate.
const NEAR: f64 = 0.02;
/// Steps per unit of a rounded number.
const STEPS: f64 = 4096.0;

/// The generator's settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Skills {
    /// Chooses teachers and examples.
    pub source: u32,
    /// Share of each arrival's examples that are near-duplicates.
    pub duplicates: f64,
    /// Share of what teachers say to training examples that is another class.
    pub label_noise: f64,
    /// Share of examples whose question names the class.
    pub hints: f64,
}

/// An input with its class.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Image, question and hint.
    pub input: Vec<f32>,
    /// Its class.
    pub label: u8,
    /// Its skill.
    pub skill: u32,
}

impl Example {
    /// The sample id: coordinates as f32 LE, then the class.
    #[must_use]
    pub fn id(&self) -> Digest {
        let bytes: Vec<u8> = self.input.iter().flat_map(|value| value.to_le_bytes()).collect();
        sample_id(&bytes, &[self.label])
    }

    /// Its image.
    #[must_use]
    pub fn image(&self) -> &[f32] {
        &self.input[..IMAGE]
    }
}

/// Says which class of a skill an image is of.
#[derive(Debug, Clone, PartialEq)]
pub struct Teacher {
    first: Vec<[f64; IMAGE]>,
    second: Vec<[f64; HIDDEN]>,
}

impl Teacher {
    fn new(source: u32, skill: u32) -> Self {
        let (source, skill) = (source.to_le_bytes(), skill.to_le_bytes());
        let mut random =
            generator(&Digest::of_parts(&[b"palimpsest/skills-teacher/v1", &source, &skill]));
        let scale = STEEP / (IMAGE as f64).sqrt();
        let first = (0..HIDDEN).map(|_| [(); IMAGE].map(|()| scale * normal_f64(&mut random)));
        let first = first.collect();
        let second = (0..CLASSES).map(|_| [(); HIDDEN].map(|()| normal_f64(&mut random)));
        Self { first, second: second.collect() }
    }

    /// The class of an image.
    #[must_use]
    pub fn class(&self, image: &[f32]) -> u8 {
        let hidden = self.first.iter().map(|weights| {
            weights.iter().zip(image).map(|(w, x)| w * f64::from(*x)).sum::<f64>().tanh()
        });
        let hidden: Vec<f64> = hidden.collect();
        let outputs = self
            .second
            .iter()
            .map(|weights| weights.iter().zip(&hidden).map(|(w, h)| w * h).sum::<f64>());
        let largest = (0_u8..).zip(outputs).max_by(|one, other| one.1.total_cmp(&other.1));
        largest.map_or(0, |(class, _)| class)
    }
}

impl Skills {
    /// The teachers, by skill.
    #[must_use]
    pub fn teachers(&self) -> Vec<Teacher> {
        (0..SKILLS).map(|skill| Teacher::new(self.source, skill)).collect()
    }

    /// All examples, those to train on arrival after arrival.
    ///
    /// # Errors
    /// [`DataError::Setting`] when an example cannot be drawn that is not there yet.
    pub fn generate(&self) -> Result<Parts<Example>, DataError> {
        let source = self.source.to_le_bytes();
        let mut random = generator(&Digest::of_parts(&[b"palimpsest/skills/v1", &source]));
        let teachers = self.teachers();
        let roster = roster(&mut random);
        let [validation, test] = HELD_OUT;
        let train = ARRIVAL * ARRIVALS.len() as u32;
        let mut drawn: Vec<Example> = Vec::new();
        let draw = |Place { index, judged }: Place| {
            if judged {
                return self.fresh(index as u32 % SKILLS, 0.0, &teachers, &mut random);
            }
            drawn.truncate(index);
            let skill = roster.get(index).copied().unwrap_or(0);
            let start = index - index % ARRIVAL as usize;
            let earlier = drawn[start.min(drawn.len())..].iter();
            let earlier: Vec<&Example> = earlier.filter(|one| one.skill == skill).collect();
            let repeats = unit_f64(&mut random) < self.duplicates && !earlier.is_empty();
            let example = if repeats {
                near(earlier[bounded(&mut random, earlier.len() as u64) as usize], &mut random)
            } else {
                self.fresh(skill, self.label_noise, &teachers, &mut random)
            };
            drawn.push(example.clone());
            example
        };
        distinct(Sizes { train, probe: 0, validation, test }, draw, Example::id)
    }

    fn fresh(&self, skill: u32, noise: f64, teachers: &[Teacher], random: &mut Pcg64) -> Example {
        let mut input: Vec<f32> = (0..IMAGE).map(|_| rounded(normal_f64(random))).collect();
        let right = teachers.get(skill as usize).map_or(0, |teacher| teacher.class(&input));
        let (wrong, other) = (unit_f64(random) < noise, bounded(random, u64::from(CLASSES) - 1));
        let label = if wrong { (right + 1 + other as u8) % CLASSES as u8 } else { right };
        let hinted = unit_f64(random) < self.hints;
        input.extend((0..SKILLS).map(|place| if place == skill { ASKED } else { 0.0 }));
        let hint = |class: u32| if hinted && class == u32::from(label) { 1.0 } else { 0.0 };
        input.extend((0..CLASSES).map(hint));
        Example { input, label, skill }
    }
}

/// The skill of every training example.
fn roster(random: &mut Pcg64) -> Vec<u32> {
    let mut all = Vec::new();
    for skills in ARRIVALS {
        let rare = if skills.contains(&RARE) { RARE_EXAMPLES } else { 0 };
        let plain: Vec<u32> = skills.iter().copied().filter(|skill| *skill != RARE).collect();
        let each = (0..ARRIVAL - rare).map(|place| plain[place as usize % plain.len()]);
        let mut arrival: Vec<u32> = each.chain((0..rare).map(|_| RARE)).collect();
        shuffle(random, &mut arrival);
        all.extend(arrival);
    }
    all
}

/// An example next to another one.
fn near(other: &Example, random: &mut Pcg64) -> Example {
    let mut example = other.clone();
    for value in &mut example.input[..IMAGE] {
        *value = rounded(f64::from(*value) + NEAR * normal_f64(random));
    }
    example
}

fn rounded(value: f64) -> f32 {
    ((value * STEPS).round() / STEPS) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Skills = Skills { source: 0, duplicates: 0.3, label_noise: 0.1, hints: 0.0 };

    fn distance(one: &Example, other: &Example) -> f64 {
        let pairs = one.image().iter().zip(other.image());
        pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn skills_arrive_in_their_turn_and_one_of_them_is_rare() {
        let train = PLAIN.generate().unwrap().train.examples;
        assert_eq!(train.len(), 4_000);
        for (arrival, skills) in train.chunks(ARRIVAL as usize).zip(ARRIVALS) {
            assert!(arrival.iter().all(|example| skills.contains(&example.skill)));
        }
        let rare = train.iter().filter(|example| example.skill == RARE).count();
        assert_eq!(rare as f64 / train.len() as f64, 0.02);
        for example in &train {
            let asked = (0..SKILLS).filter(|skill| example.input[IMAGE + *skill as usize] == ASKED);
            assert_eq!(asked.collect::<Vec<_>>(), [example.skill]);
        }
    }

    #[test]
    fn three_tenths_are_near_duplicates_of_earlier_ones_with_their_label() {
        let train = PLAIN.generate().unwrap().train.examples;
        let mut repeated = 0;
        for arrival in train.chunks(ARRIVAL as usize) {
            for (place, example) in arrival.iter().enumerate() {
                let earlier = arrival[..place].iter().filter(|one| one.skill == example.skill);
                let near: Vec<_> = earlier.filter(|one| distance(one, example) < 0.3).collect();
                assert!(near.iter().all(|one| one.label == example.label));
                repeated += u32::from(!near.is_empty());
            }
        }
        let share = f64::from(repeated) / train.len() as f64;
        assert!((share - 0.3).abs() < 0.03, "{share}");
        let none = Skills { duplicates: 0.0, ..PLAIN }.generate().unwrap().train.examples;
        let nearest = |example: &Example, others: &[Example]| {
            others.iter().map(|one| distance(one, example)).fold(f64::INFINITY, f64::min)
        };
        assert!((1..800).all(|place| nearest(&none[place], &none[..place]) > 0.3));
    }

    #[test]
    fn held_out_labels_are_the_teachers_and_a_tenth_of_the_training_labels_are_others() {
        let (parts, teachers) = (PLAIN.generate().unwrap(), PLAIN.teachers());
        let right = |one: &&Example| teachers[one.skill as usize].class(one.image()) == one.label;
        assert!(parts.test.examples.iter().all(|example| right(&example)));
        assert!(parts.validation.examples.iter().all(|example| right(&example)));
        for skill in 0..SKILLS {
            let own = parts.test.examples.iter().filter(|example| example.skill == skill);
            let mut counts = [0; CLASSES as usize];
            own.for_each(|example| counts[example.label as usize] += 1);
            assert_eq!(counts.iter().sum::<u32>(), 250);
            assert!(counts.iter().all(|count| (12..150).contains(count)), "{skill}: {counts:?}");
        }
        let plain = Skills { duplicates: 0.0, ..PLAIN }.generate().unwrap().train.examples;
        let wrong = plain.iter().filter(|example| !right(example)).count() as f64;
        assert!((wrong / 4_000.0 - 0.1).abs() < 0.02, "{wrong}");
    }

    #[test]
    fn hints_name_the_label_in_their_share_of_the_examples() {
        let hinted = Skills { hints: 0.5, ..PLAIN }.generate().unwrap();
        let test = &hinted.test.examples;
        let hint = |example: &Example| {
            let place = example.input[IMAGE + SKILLS as usize..].iter().position(|x| *x > 0.0);
            place.map(|class| class == usize::from(example.label))
        };
        assert!(test.iter().all(|example| hint(example) != Some(false)));
        let share = test.iter().filter(|one| hint(one).is_some()).count() as f64 / 2_000.0;
        assert!((share - 0.5).abs() < 0.05, "{share}");
        assert!(PLAIN.generate().unwrap().test.examples.iter().all(|one| hint(one).is_none()));
    }

    #[test]
    fn other_sources_have_other_teachers_and_the_same_one_the_same_examples() {
        let [first, again] = [(); 2].map(|()| PLAIN.generate().unwrap());
        assert_eq!(first, again);
        let other = Skills { source: 1, ..PLAIN };
        assert_ne!(other.teachers(), PLAIN.teachers());
        assert_ne!(other.generate().unwrap().test.ids[0], first.test.ids[0]);
    }
}
