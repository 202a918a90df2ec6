//! The setting `network`: names, and sizes with their defaults.

use ledger::digest::Digest;
use ledger::settings;
use ledger::settings::{Json, Range, SettingError, SettingType, Values};

/// Widest layer.
const WIDEST: f64 = 16_384.0;

/// Channels of the stages of a `resnet`, none fewer than those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Widths(pub Vec<u32>);

impl SettingType for Widths {
    fn describe(_: Range) -> String {
        "a list of 1 to 8 whole numbers from 1 to 16384, none below the one before".to_owned()
    }

    fn read(value: &Json, _: Range) -> Option<Self> {
        let of = |item: &Json| u32::read(item, Range::of(1.0..=WIDEST));
        let widths: Vec<u32> = value.as_array()?.iter().map(of).collect::<Option<_>>()?;
        ((1..=8).contains(&widths.len()) && widths.is_sorted()).then_some(Self(widths))
    }

    fn write(&self) -> Json {
        Json::from(self.0.as_slice())
    }
}

settings! {
    /// Sizes of a `resnet`.
    pub struct ResnetSizes {
        /// Channels of each stage; all but the first halve height and width.
        widths: Widths = Widths(vec![16, 32, 64]), from "arXiv:1512.03385, section 4.2";
        /// Blocks of a stage: 3 makes ResNet-20 of three stages.
        depth: u32 = 3, range Range::of(1.0..=100.0), from "arXiv:1512.03385, section 4.2: ResNet-20";
    }
}

settings! {
    /// Sizes of a `vit`.
    pub struct VitSizes {
        /// Height and width of a patch, in pixels.
        patch: u32 = 4, range Range::of(1.0..=1024.0), from "assumed; 16 of 224 pixels in arXiv:2010.11929";
        /// Width of the residual stream.
        width: u32 = 192, range Range::of(1.0..=WIDEST), from "arXiv:2012.12877, table 1: DeiT-Ti";
        /// Number of blocks.
        depth: u32 = 12, range Range::of(1.0..=100.0), from "arXiv:2012.12877, table 1: DeiT-Ti";
        /// Number of attention heads.
        heads: u32 = 3, range Range::of(1.0..=256.0), from "arXiv:2012.12877, table 1: DeiT-Ti";
    }
}

settings! {
    /// Sizes of a `gpt`.
    pub struct GptSizes {
        /// Width of the residual stream.
        width: u32 = 128, range Range::of(1.0..=WIDEST), from "assumed: size s of text-char";
        /// Number of blocks.
        depth: u32 = 2, range Range::of(1.0..=100.0), from "assumed: size s of text-char";
        /// Number of attention heads.
        heads: u32 = 4, range Range::of(1.0..=256.0), from "assumed: size s of text-char";
    }
}

settings! {
    /// Sizes of a `gru`.
    pub struct GruSizes {
        /// Units of a layer, and width of a token's vector.
        width: u32 = 128, range Range::of(1.0..=WIDEST), from "assumed: markov-gru";
        /// Number of layers.
        depth: u32 = 1, range Range::of(1.0..=16.0), from "assumed: markov-gru";
    }
}

/// A module scripted in PyTorch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFile {
    /// Its file; a path from the suite's folder on.
    pub file: String,
    /// SHA-256 of it, once it has been looked for.
    pub sha256: Option<Digest>,
}

/// A network by its name, or of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum NetworkChoice {
    /// Hidden layers of one width with ReLU; without any, a linear map.
    Mlp,
    /// Three convolutions and a linear head.
    Cnn,
    /// Residual blocks of convolutions.
    Resnet(ResnetSizes),
    /// A transformer over patches of images.
    Vit(VitSizes),
    /// A transformer over tokens.
    Gpt(GptSizes),
    /// Gated recurrent units over tokens, or over the rows of images.
    Gru(GruSizes),
    /// A module of the user's.
    TorchScript(ModuleFile),
}

/// Names of networks that are built here.
const NAMES: [&str; 6] = ["mlp", "cnn", "resnet", "vit", "gpt", "gru"];

impl NetworkChoice {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mlp => "mlp",
            Self::Cnn => "cnn",
            Self::Resnet(_) => "resnet",
            Self::Vit(_) => "vit",
            Self::Gpt(_) => "gpt",
            Self::Gru(_) => "gru",
            Self::TorchScript(_) => "torchscript",
        }
    }

    /// Settings beside `network` that are of it.
    fn beside(&self) -> &'static [&'static str] {
        match self {
            Self::Mlp => &["width", "depth"],
            Self::Cnn => &["width"],
            _ => &[],
        }
    }

    /// What a value of the setting says, with the sizes of the network's own.
    ///
    /// # Errors
    /// Names the size that is unknown or not valid, or what may stand there.
    pub fn parse(value: &Json) -> Result<Self, SettingError> {
        let invalid = || SettingError::Invalid {
            key: "network".to_owned(),
            value: value.to_string(),
            expected: Self::describe(Range::ANY),
        };
        if let Some(name) = value.as_str() {
            return Self::sized(name, &Values::new(), invalid);
        }
        let map = value.as_object().ok_or_else(invalid)?;
        if let Some(file) = map.get("torchscript") {
            let file = file.as_str().filter(|file| !file.is_empty()).ok_or_else(invalid)?;
            let sha256 = match map.get("sha256") {
                Some(digest) => {
                    let digest = digest.as_str().and_then(|text| text.parse().ok());
                    Some(digest.ok_or_else(invalid)?)
                }
                None => None,
            };
            if let Some(other) =
                map.keys().find(|key| !["torchscript", "sha256"].contains(&key.as_str()))
            {
                return Err(SettingError::Joint(format!(
                    "\"{other}\" stands beside \"torchscript\", where only \"sha256\" may; a module brings its sizes and \
                     its initial weights"
                )));
            }
            return Ok(Self::TorchScript(ModuleFile { file: file.to_owned(), sha256 }));
        }
        let (1, Some((name, sizes))) = (map.len(), map.iter().next()) else {
            return Err(invalid());
        };
        let sizes = sizes.as_object().ok_or_else(invalid)?;
        let sizes = sizes.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Self::sized(name, &sizes, invalid)
    }

    fn sized(
        name: &str,
        sizes: &Values,
        invalid: impl Fn() -> SettingError,
    ) -> Result<Self, SettingError> {
        let told =
            |error: SettingError| SettingError::Joint(format!("network \"{name}\": {error}"));
        let heads = |heads: u32, width: u32| {
            if width.is_multiple_of(heads) {
                return Ok(());
            }
            Err(SettingError::Joint(format!(
                "network \"{name}\": setting \"heads\" is {heads}, but must divide the width of {width}"
            )))
        };
        Ok(match name {
            "mlp" | "cnn" if !sizes.is_empty() => return Err(invalid()),
            "mlp" => Self::Mlp,
            "cnn" => Self::Cnn,
            "resnet" => {
                let sizes = ResnetSizes::resolve(sizes).and_then(|sizes| ResnetSizes::read(&sizes));
                Self::Resnet(sizes.map_err(told)?)
            }
            "vit" => {
                let sizes = VitSizes::resolve(sizes).and_then(|sizes| VitSizes::read(&sizes));
                let sizes = sizes.map_err(told)?;
                heads(sizes.heads, sizes.width)?;
                Self::Vit(sizes)
            }
            "gpt" => {
                let sizes = GptSizes::resolve(sizes).and_then(|sizes| GptSizes::read(&sizes));
                let sizes = sizes.map_err(told)?;
                heads(sizes.heads, sizes.width)?;
                Self::Gpt(sizes)
            }
            "gru" => {
                let sizes = GruSizes::resolve(sizes).and_then(|sizes| GruSizes::read(&sizes));
                Self::Gru(sizes.map_err(told)?)
            }
            _ => return Err(invalid()),
        })
    }
}

impl SettingType for NetworkChoice {
    fn describe(_: Range) -> String {
        format!(
            "one of {}, with sizes as in {{ vit: {{ patch: 4, depth: 6 }} }}, or a module of yours as in {{ torchscript: net.pt }}",
            NAMES.join(", ")
        )
    }

    fn read(value: &Json, _: Range) -> Option<Self> {
        Self::parse(value).ok()
    }

    fn write(&self) -> Json {
        let sized = |sizes: Values| serde_json::json!({ self.name(): sizes });
        match self {
            Self::Mlp | Self::Cnn => self.name().into(),
            Self::Resnet(sizes) => sized(sizes.values()),
            Self::Vit(sizes) => sized(sizes.values()),
            Self::Gpt(sizes) => sized(sizes.values()),
            Self::Gru(sizes) => sized(sizes.values()),
            Self::TorchScript(ModuleFile { file, sha256: None }) => {
                serde_json::json!({ "torchscript": file })
            }
            Self::TorchScript(ModuleFile { file, sha256: Some(sha256) }) => {
                serde_json::json!({ "torchscript": file, "sha256": sha256.to_string() })
            }
        }
    }
}

/// All values of a workload with the setting `network`, completed by `resolve`. `width` and `depth` stand beside an
/// `mlp`, `width` beside a `cnn`, wherever they were written; other networks have their sizes within.
///
/// # Errors
/// As `resolve`; when a size stands beside a network that has it within, or twice.
pub fn resolved(
    values: &Values,
    resolve: fn(&Values) -> Result<Values, SettingError>,
) -> Result<Values, SettingError> {
    let given = lifted(values)?;
    let mut resolved = resolve(&given)?;
    let Some(network) = resolved.get("network") else { return Ok(resolved) };
    let choice = NetworkChoice::parse(network)?;
    let sizes = ["width", "depth"].into_iter().filter(|size| !choice.beside().contains(size));
    for size in sizes {
        if let Some(value) = given.get(size) {
            let name = choice.name();
            let remedy = match choice {
                NetworkChoice::Mlp | NetworkChoice::Cnn | NetworkChoice::TorchScript(_) => {
                    "leave it out".to_owned()
                }
                _ => format!("write it within, as in network: {{ {name}: {{ {size}: {value} }} }}"),
            };
            return Err(SettingError::Joint(format!(
                "setting \"{size}\" does not stand beside network \"{name}\": {remedy}"
            )));
        }
        resolved.remove(size);
    }
    Ok(resolved)
}

/// The same with the sizes of an `mlp` or a `cnn` beside it.
fn lifted(values: &Values) -> Result<Values, SettingError> {
    let mut given = values.clone();
    let Some(map) = values.get("network").and_then(Json::as_object) else { return Ok(given) };
    let (1, Some((name, Json::Object(sizes)))) = (map.len(), map.iter().next()) else {
        NetworkChoice::parse(&Json::Object(map.clone()))?;
        return Ok(given);
    };
    if !["mlp", "cnn"].contains(&name.as_str()) {
        // With the name of the size that is at fault, where one is.
        NetworkChoice::parse(&Json::Object(map.clone()))?;
        return Ok(given);
    }
    for (key, size) in sizes {
        let refuse =
            |reason: String| Err(SettingError::Joint(format!("network \"{name}\": {reason}")));
        if !["width", "depth"].contains(&key.as_str()) {
            let hint = ledger::catalogue::hint(key, ["width", "depth"]);
            return refuse(format!("unknown setting \"{key}\"{hint}"));
        }
        if given.insert(key.clone(), size.clone()).is_some() {
            return refuse(format!("\"{key}\" stands beside it, too: leave one out"));
        }
    }
    given.insert("network".to_owned(), name.as_str().into());
    Ok(given)
}
