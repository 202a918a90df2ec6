use super::*;
use crate::episodes::Queried;
use crate::models::mlp::mlp;
use crate::objectives::DefaultLoss;
use crate::seat::Objective;
use crate::trial;
use ledger::layout::Layout;
use std::process::Command;
use tch::Device;

const PROBE: &str = "PALIMPSEST_MEMORY_PROBE";

/// Largest resident set of this process so far, KiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The network's weights, KiB.
const WEIGHTS: f64 = ((2 * 700 + 701 * 700 + 701) * 4) as f64 / 1024.0;

/// One step of a method on half a million weights, gradients and all.
fn step(maml: bool, steps: u32) {
    let mut network = mlp(&[1, 700, 700, 1], &trial::streams(), Device::Cpu).unwrap();
    let ids: Vec<u32> = (0..20).collect();
    let line = Tensor::linspace(-5.0, 5.0, 20, (Kind::Float, Device::Cpu));
    let (inputs, labels) = (line.view([20, 1]), line.sin());
    let batch = crate::seat::Batch { ids, sample_ids: line.to_kind(Kind::Int64), inputs, labels };
    let back = if maml { Back::Second } else { Back::None };
    let inner = Inner { loss: DefaultLoss::Squares, back, steps, lr: 1e-4, first_layer: 0 };
    let loss = if maml {
        let roles = [("support", 5), ("query", 15)].map(|(role, n)| (role.to_owned(), n));
        let layout = Layout::new(roles.to_vec()).unwrap();
        Queried { inner, layout }.loss(&network, &batch, &trial::step_info(0, 1)).unwrap()
    } else {
        Beside { precision: 100.0, surplus: 1.0 }.install(&mut network, &trial::streams()).unwrap();
        let langevin = Langevin { inner, burnin: 0, cap: 1e3, temperature: 1.0, sigma: 0.3 };
        let mut random = trial::streams().generator("method");
        let local = langevin.posterior(&network, batch.shown(), &mut random).unwrap();
        let weights = local.draw(&drawn(&mut random, &local.mean).unwrap()).unwrap();
        let outputs = with_weights(&network, &weights).unwrap().forward(&batch.inputs, true);
        let losses = inner.loss.of_outputs(&outputs.unwrap(), &batch.labels).unwrap();
        losses.mean(None) + Niw::of(&network).unwrap().divergence(&local).unwrap().view(())
    };
    let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
    let gradients = Tensor::run_backward(&[loss], &leaves, false, false);
    assert!(
        gradients
            .iter()
            .all(|gradient| f64::try_from(gradient.abs().sum(Kind::Double)).unwrap() > 0.0)
    );
}

/// Check (d) of card 12: peaks of processes that do nothing but one step.
#[test]
#[cfg(target_os = "linux")]
#[expect(clippy::print_stdout, reason = "a process tells its peak to the one that measures")]
fn memory_does_not_grow_with_inner_steps_and_that_of_maml_does() {
    if let Ok(asked) = std::env::var(PROBE) {
        let (method, steps) = asked.split_once(' ').unwrap();
        step(method == "maml", steps.parse().unwrap());
        println!("\npeak {}", peak());
        return;
    }
    let measured = |method: &str, steps: u32| -> f64 {
        let name =
            "niw::network::tests::memory_does_not_grow_with_inner_steps_and_that_of_maml_does";
        let child = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(PROBE, format!("{method} {steps}"))
            // What is freed goes back at once, whatever was allocated before.
            .env("MALLOC_MMAP_THRESHOLD_", "65536")
            .env("MALLOC_TRIM_THRESHOLD_", "65536")
            .output()
            .unwrap();
        let told = String::from_utf8(child.stdout).unwrap();
        let line = told.lines().find_map(|line| line.strip_prefix("peak "));
        line.unwrap_or_else(|| panic!("{told}")).parse().unwrap()
    };
    let peaks = ["niw-meta", "maml"].map(|method| [measured(method, 5), measured(method, 50)]);
    // Counted in weights: what else a process holds depends on the machine and its libraries.
    let [own, maml] = peaks.map(|[few, many]| (many - few) / WEIGHTS);
    assert!(own.abs() < 4.0, "KiB at 5 and 50 inner steps: {peaks:?}");
    // The graph keeps the weights of each of the 45 further steps.
    assert!(maml > 40.0, "KiB at 5 and 50 inner steps: {peaks:?}");
}

#[test]
fn weights_put_in_place_are_those_of_the_flat_vector_and_the_rest_stays() {
    let mut network = mlp(&[2, 3, 1], &trial::streams(), Device::Cpu).unwrap();
    let mut beside = Beside { precision: 100.0, surplus: 2.0 };
    beside.install(&mut network, &trial::streams()).unwrap();
    let niw = Niw::of(&network).unwrap();
    // Λ₀ is what was asked for, n₀ = d + 1 + 2.
    assert_eq!(niw.freedom().unwrap().double_value(&[0]).round(), 16.0);
    assert!((niw.precision().unwrap() - 100.0).abs().max().double_value(&[]) < 1e-3);
    let placed = with_weights(&network, &(&niw.mean * 2.0)).unwrap();
    let twice = Niw::of(&placed).unwrap();
    assert_eq!(twice.mean, &niw.mean * 2.0);
    assert_eq!(twice.log_scale, niw.log_scale);
}

#[test]
fn answers_are_draws_of_the_posterior_or_its_mean() {
    let mut network = mlp(&[1, 8, 1], &trial::streams(), Device::Cpu).unwrap();
    Beside { precision: 100.0, surplus: 1.0 }.install(&mut network, &trial::streams()).unwrap();
    let line = Tensor::linspace(-5.0, 5.0, 5, (Kind::Float, Device::Cpu));
    let (inputs, labels) = (line.view([5, 1]), line.sin());
    let (loss, back) = (DefaultLoss::Squares, Back::None);
    let inner = Inner { loss, back, steps: 5, lr: 0.01, first_layer: 0 };
    let langevin = Langevin { inner, burnin: 0, cap: 1e3, temperature: 0.0, sigma: 0.3 };
    let adapt = |samples: u32| {
        let mut random = trial::streams().generator("adapt");
        let shown = Shown { inputs: &inputs, labels: &labels };
        let found = Answers { langevin, samples }.adapt(&network, shown, &mut random).unwrap();
        found
            .iter()
            .map(|network| crate::network::values(network.at(0)).unwrap())
            .collect::<Vec<_>>()
    };
    let (mean, drawn) = (adapt(0), adapt(3));
    assert_eq!((mean.len(), drawn.len()), (1, 3));
    assert!(drawn[0] != drawn[1] && drawn[1] != drawn[2] && !drawn.contains(&mean[0]));
    assert_ne!(mean[0], crate::network::values(network.at(0)).unwrap());
}
