//! Sentences as counts of words, whose class is the one that most of their leaning words are of: a
//! classification of texts of which it is known how hard each is.
//!
//! Of 600 words 400 lean, a hundred to each of four classes, the others say nothing. A sentence of tier
//! t, 0 to 5, has 20 words: six of its class, t of one other class, and 14 − t that say nothing. Within
//! a class, and among those that say nothing, the word of place j is drawn in proportion to
//! 1/(j + 1), so that some are seen often and others seldom. Counting leaning words decides every
//! sentence, by 6 − t words.

use ledger::digest::Digest;
use ledger::order::bounded;
use ledger::sample::sample_id;
use ledger::streams::unit_f64;
use rand_pcg::Pcg64;

/// Number of classes.
pub const CLASSES: u32 = 4;
/// Number of tiers, from the easiest to the hardest.
pub const TIERS: u32 = 6;
/// Number of words.
pub const VOCABULARY: usize = 600;
/// Words of a sentence.
pub const LENGTH: u32 = 20;
/// Words of a sentence that are of its class.
const OWN: u32 = 6;
/// Words that lean to one class.
const LEANING: usize = 100;

/// One sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bag {
    /// How often each word is there, [`VOCABULARY`] numbers.
    pub counts: Vec<u8>,
    /// Its class, or what it is labelled with.
    pub class: u32,
    /// Words of another class, from 0: how hard it is.
    pub tier: u32,
}

impl Bag {
    /// A sentence of a tier, and of a class that is drawn.
    #[must_use]
    pub fn draw(tier: u32, random: &mut Pcg64) -> Self {
        let tier = tier.min(TIERS - 1);
        let class = draw_below(CLASSES, random);
        let other = (class + 1 + draw_below(CLASSES - 1, random)) % CLASSES;
        let mut counts = vec![0; VOCABULARY];
        let first = |class: u32| class as usize * LEANING;
        let mut add = |number: u32, start: usize, size: usize| {
            for _ in 0..number {
                counts[start + seldom(size, random)] += 1;
            }
        };
        add(OWN, first(class), LEANING);
        add(tier, first(other), LEANING);
        let neutral = first(CLASSES);
        add(LENGTH - OWN - tier, neutral, VOCABULARY - neutral);
        Self { counts, class, tier }
    }

    /// Labels the sentence with another class, at a share of `noise` of the harder half of tiers: two
    /// numbers of `random` for each of these, whether it is changed or not.
    pub fn disturb(&mut self, noise: f64, random: &mut Pcg64) {
        if self.tier < TIERS / 2 {
            return;
        }
        let hit = unit_f64(random) < noise;
        let further = draw_below(CLASSES - 1, random);
        if hit {
            self.class = (self.class + 1 + further) % CLASSES;
        }
    }

    /// The sample id: the counts, a byte each, then the label.
    #[must_use]
    pub fn id(&self) -> Digest {
        sample_id(&self.counts, &[u8::try_from(self.class).unwrap_or(u8::MAX)])
    }
}

fn draw_below(bound: u32, random: &mut Pcg64) -> u32 {
    u32::try_from(bounded(random, bound.into())).unwrap_or(0)
}

/// A place below `size`, j in proportion to 1/(j + 1).
fn seldom(size: usize, random: &mut Pcg64) -> usize {
    let weight = |place: usize| 1.0 / (place as f64 + 1.0);
    let mut left = unit_f64(random) * (0..size).map(weight).sum::<f64>();
    for place in 0..size {
        left -= weight(place);
        if left < 0.0 {
            return place;
        }
    }
    size.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random() -> Pcg64 {
        ledger::order::generator(&Digest::of(b"bags"))
    }

    /// Leaning words of each class.
    fn leaning(bag: &Bag) -> Vec<u32> {
        let own = bag.counts[..LEANING * CLASSES as usize].chunks(LEANING);
        own.map(|words| words.iter().copied().map(u32::from).sum()).collect()
    }

    #[test]
    fn the_class_is_the_one_with_most_leaning_words_by_six_less_the_tier() {
        let mut random = random();
        for index in 0..2_000_u32 {
            let bag = Bag::draw(index % TIERS, &mut random);
            assert_eq!(bag.counts.iter().copied().map(u32::from).sum::<u32>(), LENGTH);
            let mut words = leaning(&bag);
            assert_eq!(words[bag.class as usize], OWN);
            words.sort_unstable();
            assert_eq!(words, [0, 0, bag.tier, OWN]);
        }
    }

    #[test]
    fn the_first_word_of_a_class_is_ten_times_as_frequent_as_the_tenth() {
        let mut random = random();
        let mut counts = [0.0_f64; LEANING];
        for _ in 0..20_000 {
            counts[seldom(LEANING, &mut random)] += 1.0;
        }
        // 20,000/H(100) = 3,855.5 of the first; standard deviations 56 and 19.
        let [first, tenth] = [counts[0] - 3_855.5, counts[9] - 385.6];
        assert!(first.abs() < 224.0 && tenth.abs() < 78.0, "{counts:?}");
    }

    #[test]
    fn a_share_of_the_harder_half_gets_another_label_and_the_easier_half_none() {
        let mut random = random();
        let mut changed = [0_u32; 2];
        for index in 0..15_996_u32 {
            let bag = Bag::draw(index % TIERS, &mut random);
            let mut other = bag.clone();
            other.disturb(0.1, &mut random);
            assert_eq!((&bag.counts, bag.tier), (&other.counts, other.tier));
            assert!(other.class < CLASSES);
            changed[usize::from(bag.tier >= TIERS / 2)] += u32::from(bag.class != other.class);
        }
        // A tenth of 7,998, standard deviation 27.
        assert!(changed[0] == 0 && changed[1].abs_diff(800) < 108, "{changed:?}");
    }
}
