//! What `text-char` and `text-byte` have in common: windows of a text and a small transformer; and with `tokens`, how
//! a model of text is judged and what a run says of its tokens.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use data::Sources;
use data::sequences::{Part, Sequence};
use data::text::spelling::{Spelling, SpellingError};
use data::text::windows::{self, SIZES, Unit, WINDOW};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::settings;
use ledger::settings::Values;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::Device;

use super::language::{Scores, Size, split};
use lab::LabError;
use lab::models::gpt::gpt;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::seat::Facts;
use lab::side_info::{SideInfo, Tokens};
use training::judge::{EvaluationRequest, Judge};
use training::splits::{DataIdentity, Splits};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workloads.
    pub struct Settings {
        /// Path of a text file; Tiny Shakespeare of `data fetch` when empty.
        file: String = String::new(), from "assumed";
        /// Size of the transformer: xs, s or m.
        size: Size = Size::S, from "assumed";
    }
}

const METRICS: &[MetricInfo] = &[
    MetricInfo::error("bits_per_byte"),
    MetricInfo::error("nll"),
    MetricInfo::share("accuracy", 0.0),
];

/// All but the title and the unit that the text is loaded in.
pub const WORKLOAD: Workload = Workload {
    data: DataName::Set("tinyshakespeare"),
    offers: &[offers::LOSS, offers::TOKENS],
    metrics: METRICS,
    metric: "bits_per_byte",
    target: 3.0,
    target_origin: "assumed",
    budget_epochs: 1.0,
    evaluate_every_epochs: 0.125,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: Settings::resolve,
    network: |values, side, streams, device| {
        let Settings { size, .. } = Settings::read(values)?;
        gpt(size.shape(side.vocabulary(), side.context()), streams, device)
    },
    ..Workload::BLANK
};

/// Loads the text and cuts it into windows of tokens.
///
/// # Errors
/// When the file is missing, unreadable or too short.
pub fn load(
    values: &Values,
    unit: Unit,
    sources: &Sources,
    device: Device,
) -> Result<Ready, LabError> {
    let Settings { file, .. } = Settings::read(values)?;
    let file = (!file.is_empty()).then(|| Path::new(&file));
    let windows = windows::load(file, unit, sources)?;
    let place = |examples: &[Sequence]| split(examples.iter(), WINDOW, device);
    let [train, validation, test] = [&windows.train, &windows.validation, &windows.test];
    let splits = Splits {
        train: place(&train.examples)?,
        probe: None,
        validation: place(&validation.examples)?,
        test: place(&test.examples)?,
    };
    let reads = WINDOW as u32 - 1;
    // The network has a place more than windows fill.
    let writing = Writing { spelling: windows.spelling.clone(), context: reads + 1, reads };
    let side = SideInfo {
        loss: Some(DefaultLoss::Tokens),
        tokens: Some(writing.tokens()),
        ..SideInfo::default()
    };
    let judge = Compression::new(writing, windows.left_out, validation, test);
    let [validation_ids, test_ids] = [&validation.ids, &test.ids];
    let identity = DataIdentity {
        own: windows.own.clone(),
        ..DataIdentity::new(train.ids.clone(), validation_ids, test_ids, windows.origin)
    };
    Ok(Ready { splits, identity: Arc::new(identity), side, judge: Box::new(judge) })
}

/// The fact that says what the tokens of a run stand for.
pub const WRITING: &str = "writing";

/// What it takes to write with a model of text: a fact of its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writing {
    /// What tokens stand for.
    pub spelling: Spelling,
    /// Positions that the network is built for.
    pub context: u32,
    /// Positions that it has learnt to read at once.
    pub reads: u32,
}

impl Writing {
    /// Refuses what a stranger's record may say and no run has.
    ///
    /// # Errors
    /// When the alphabet is none, or the network would read nothing, or more than it is built for.
    pub fn checked(self) -> Result<Self, SpellingError> {
        let Self { spelling, context, reads } = self;
        if reads == 0 || reads > context || context > MOST_CONTEXT {
            return Err(SpellingError::Malformed("its model would read no tokens, or too many"));
        }
        Ok(Self { spelling: spelling.checked()?, context, reads })
    }

    /// Alphabet and length of sequences, as a network is built for them.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        Tokens {
            vocabulary: self.spelling.vocabulary() as i64,
            context: i64::from(self.context),
            end: None,
            mask: None,
            first_ordinary: 0,
        }
    }
}

/// Most positions of a network that writes.
const MOST_CONTEXT: u32 = 1 << 13;

/// Judges the loss of a token, and over the bytes of text that it stands for.
#[derive(Debug)]
pub struct Compression {
    /// Bits per byte of one nat per token, on each split; none where tokens have no text.
    validation: Option<f64>,
    test: Option<f64>,
    facts: Facts,
}

impl Compression {
    /// Of these held-out windows, of which so many were left out.
    #[must_use]
    pub fn new(
        writing: Writing,
        left_out: usize,
        validation: &Part<Sequence>,
        test: &Part<Sequence>,
    ) -> Self {
        let per_byte = |part: &Part<Sequence>| {
            let tokens: usize = part.examples.iter().map(|window| window.response().len()).sum();
            let bytes = windows::bytes(&writing.spelling, &part.examples)?;
            Some(tokens as f64 / bytes as f64 / std::f64::consts::LN_2)
        };
        let (validation, test) = (per_byte(validation), per_byte(test));
        let facts = Facts::from([
            (WRITING.to_owned(), json!(writing)),
            ("windows_left_out".to_owned(), json!(left_out)),
        ]);
        Self { validation, test, facts }
    }
}

impl Judge for Compression {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let scores = Scores::of(request.model.network, request.split)?;
        let mut metrics = BTreeMap::from([
            ("nll".to_owned(), scores.nll()),
            ("accuracy".to_owned(), scores.accuracy()),
        ]);
        if let Some(per_byte) = request.judged.pick(self.validation, self.test) {
            metrics.insert("bits_per_byte".to_owned(), scores.nll() * per_byte);
        }
        Ok(metrics)
    }

    fn facts(&self) -> Facts {
        self.facts.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use std::path::PathBuf;
    use training::judge::{Judged, Model};
    use training::trial::Fixture;

    /// The vocabulary, the name that records give the text, and a fresh network's metrics.
    fn of(id: &str) -> (usize, String, BTreeMap<String, f64>) {
        let sources = Sources { data_dir: PathBuf::new(), cache_dir: PathBuf::new() };
        let folder = std::env::temp_dir().join(format!("palimpsest-text-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{}.txt", id));
        // Four characters of nine bytes.
        let mut random = lab::trial::streams().generator("text");
        let text: String = (0..40_000)
            .map(|_| ['a', 'é', '€', '中'][ledger::order::bounded(&mut random, 4) as usize])
            .collect();
        std::fs::write(&file, text).unwrap();
        let settings = with([("file", file.display().to_string().into()), ("size", "xs".into())]);
        let fixture = Fixture::new(crate::find(id).unwrap(), &settings, &sources).unwrap();
        std::fs::remove_file(&file).unwrap();
        let network = fixture.network(1).unwrap();
        let Ready { splits, judge, side, identity } = fixture.ready();
        let model = Model::plain(&network);
        let request =
            EvaluationRequest { model, split: &splits.test, judged: Judged::Test, last: true };
        let name = identity.own.as_ref().unwrap().name.clone();
        (side.vocabulary(), name, tch::no_grad(|| judge.metrics(&request)).unwrap())
    }

    #[test]
    fn a_fresh_network_needs_two_bits_for_one_of_four_characters_and_eight_for_a_byte() {
        let (vocabulary, name, of_characters) = of("text-char");
        assert_eq!((vocabulary, name.as_str()), (4, "file:text-char.txt"));
        assert!((of_characters["nll"] - 4_f64.ln()).abs() < 0.1, "{of_characters:?}");
        // Nine bytes for four characters, within two deviations of some 1,250 of them.
        let ratio = of_characters["bits_per_byte"] / of_characters["nll"];
        assert!((ratio * 9.0 / 4.0 * 2_f64.ln() - 1.0).abs() < 0.06, "{ratio}");
        let (vocabulary, _, of_bytes) = of("text-byte");
        assert_eq!(vocabulary, 256);
        assert!((of_bytes["bits_per_byte"] - 8.0).abs() < 0.2, "{of_bytes:?}");
    }
}
