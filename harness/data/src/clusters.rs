//! Points around centres, in packs: a task whose loss depends on the order of its packs.
//!
//! Sixteen centres are drawn from N(0, I) in 16 dimensions; a point is a centre plus 1.3 times
//! normal noise. The class of centre c is c mod 8, and one label in twenty is drawn anew from all
//! classes. A pack holds points of a few centres only, so that a step on it pulls the model towards
//! these: the fewer, the more the order of the packs matters. Numbers are rounded to multiples of
//! 2⁻¹², so that sample ids do not depend on a platform's logarithm.

use ledger::digest::Digest;
use ledger::order::{bounded, generator, shuffle};
use ledger::sample::sample_id;
use rand_distr::{Distribution as _, StandardNormal};
use rand_pcg::Pcg64;

/// Number of dimensions.
pub const DIMENSION: usize = 16;
/// Number of centres.
pub const CENTRES: u32 = 16;
/// Number of classes.
pub const CLASSES: u32 = 8;
/// Standard deviation of a point around its centre, per coordinate.
pub const NOISE: f64 = 1.3;
/// One label in this many is drawn anew.
const RELABELLED: u64 = 20;
/// Steps per unit of a rounded number.
const STEPS: f64 = 4096.0;

/// The centres.
#[derive(Debug, Clone, PartialEq)]
pub struct Clusters {
    centres: Vec<[f64; DIMENSION]>,
}

/// Points that are learnt from together.
#[derive(Debug, Clone, PartialEq)]
pub struct Pack {
    /// Coordinates, point after point.
    pub inputs: Vec<f32>,
    /// Class of each point.
    pub labels: Vec<u8>,
}

impl Pack {
    /// The sample id: coordinates as f32 LE in the order of the points, then the classes.
    #[must_use]
    pub fn id(&self) -> Digest {
        let bytes: Vec<u8> = self.inputs.iter().flat_map(|value| value.to_le_bytes()).collect();
        sample_id(&bytes, &self.labels)
    }
}

impl Clusters {
    /// The centres of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let digest = Digest::of_parts(&[b"palimpsest/clusters/v1", &seed.to_le_bytes()]);
        let mut random = generator(&digest);
        let centre = |_| std::array::from_fn(|_| StandardNormal.sample(&mut random));
        Self { centres: (0..CENTRES).map(centre).collect() }
    }

    /// A pack of `points` points, each of a uniform one of `centres` centres that are drawn first;
    /// at most [`CENTRES`] are drawn.
    #[must_use]
    pub fn draw(&self, points: u32, centres: u32, random: &mut Pcg64) -> Pack {
        let mut chosen: Vec<u32> = (0..CENTRES).collect();
        shuffle(random, &mut chosen);
        chosen.truncate(centres.clamp(1, CENTRES) as usize);
        let mut pack = Pack { inputs: Vec::new(), labels: Vec::new() };
        for _ in 0..points {
            let index = chosen[bounded(random, chosen.len() as u64) as usize];
            for coordinate in self.centres[index as usize] {
                let noise: f64 = StandardNormal.sample(random);
                let value = ((coordinate + NOISE * noise) * STEPS).round() / STEPS;
                pack.inputs.push(value as f32);
            }
            let wrong = bounded(random, RELABELLED) == 0;
            let class = if wrong {
                bounded(random, u64::from(CLASSES))
            } else {
                u64::from(index % CLASSES)
            };
            pack.labels.push(class as u8);
        }
        pack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random() -> Pcg64 {
        generator(&Digest::of(b"clusters"))
    }

    /// The centre that a point is nearest to.
    fn nearest(clusters: &Clusters, point: &[f32]) -> u32 {
        let distance = |centre: &[f64; DIMENSION]| -> f64 {
            centre.iter().zip(point).map(|(c, x)| (c - f64::from(*x)).powi(2)).sum()
        };
        let distances = clusters.centres.iter().map(distance).zip(0_u32..);
        distances.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap().1
    }

    #[test]
    fn a_pack_holds_points_of_the_centres_that_were_asked_for_and_no_others() {
        let clusters = Clusters::new(0);
        let mut random = random();
        for (centres, least) in [(1, 1), (4, 4), (16, 16)] {
            let pack = clusters.draw(2_000, centres, &mut random);
            let mut counts = [0_u32; CENTRES as usize];
            for point in pack.inputs.chunks(DIMENSION) {
                counts[nearest(&clusters, point) as usize] += 1;
            }
            // The nearest centre is mostly one's own; another's share stays small.
            let large = counts.iter().filter(|count| **count > 2_000 / (2 * centres)).count();
            assert_eq!(large, least, "{centres}: {counts:?}");
        }
    }

    #[test]
    fn points_scatter_by_the_noise_and_labels_by_their_share() {
        let clusters = Clusters::new(3);
        let pack = clusters.draw(20_000, 1, &mut random());
        // All points together lie around one centre: that of their mean.
        let mean: Vec<f32> = (0..DIMENSION)
            .map(|i| pack.inputs.iter().skip(i).step_by(DIMENSION).sum::<f32>() / 20_000.0)
            .collect();
        let centre = nearest(&clusters, &mean);
        let errors = pack.inputs.chunks(DIMENSION).flat_map(|point| {
            let own = clusters.centres[centre as usize];
            point.iter().zip(own).map(|(x, c)| (f64::from(*x) - c).powi(2)).collect::<Vec<_>>()
        });
        let deviation = (errors.sum::<f64>() / 320_000.0).sqrt();
        assert!((deviation - NOISE).abs() < 0.01, "{deviation}");
        let right = pack.labels.iter().filter(|label| u32::from(**label) == centre % CLASSES);
        // One in twenty is drawn anew, one in eight of these as it was: 95.6 %.
        let share = right.count() as f64 / 20_000.0;
        assert!((share - 0.95625).abs() < 0.006, "{share}");
    }

    #[test]
    fn other_seeds_have_other_centres_and_the_same_seed_the_same() {
        assert_eq!(Clusters::new(1), Clusters::new(1));
        assert_ne!(Clusters::new(1), Clusters::new(2));
        let [a, b] = [1, 1].map(|seed| Clusters::new(seed).draw(8, 4, &mut random()).id());
        assert_eq!(a, b);
        assert_ne!(a, Clusters::new(2).draw(8, 4, &mut random()).id());
    }
}
