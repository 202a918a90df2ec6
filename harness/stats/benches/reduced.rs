//! Orders trained in k dimensions (T = 16 steps, k = 32), in blocked form and written plainly.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ledger::streams::{Streams, normal_f64};
use stats::estimates::orders::draw;
use stats::estimates::reduced::{Reduced, Rule, Sgd};
use stats::estimates::{ItemOrder, Purpose, Window};

const K: usize = 32;
const STEPS: u32 = 16;
const ORDERS: u64 = 64;

fn numbers(name: &str, n: usize, scale: f64) -> Vec<f64> {
    let mut rng = Streams::new([1; 32]).generator(name);
    (0..n).map(|_| scale * normal_f64(&mut rng)).collect()
}

/// What a first version would do: a matrix by rows, a dot product an output.
fn plainly(gradients: &[f64], curvature: &[f64], rate: f64, order: &ItemOrder) -> Vec<f64> {
    let mut z = vec![0.0; K];
    for items in &order.steps {
        let item = items[0] as usize;
        let gradient = &gradients[item * K..(item + 1) * K];
        let rows = curvature[item * K * K..(item + 1) * K * K].chunks_exact(K);
        let along: Vec<f64> = rows
            .zip(gradient)
            .map(|(row, g)| g + row.iter().zip(&z).map(|(h, z)| h * z).sum::<f64>())
            .collect();
        for (z, along) in z.iter_mut().zip(along) {
            *z -= rate * along;
        }
    }
    z
}

fn reduced(criterion: &mut Criterion) {
    let items = STEPS as usize;
    let (gradients, curvature) =
        (numbers("gradients", items * K, 1.0), numbers("curvature", items * K * K, 0.1));
    let window = Window::batches(STEPS).expect("a window has steps");
    let orders: Vec<ItemOrder> =
        (0..ORDERS).map(|number| draw(&window, 0, Purpose::Search, number)).collect();
    let model = Reduced::new(K, &gradients, &curvature).expect("the sizes fit");
    let rule = Rule::Sgd(Sgd {
        rates: vec![0.1; items],
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.0,
        centre: vec![0.0; K],
        buffer: None,
    });
    let mut group = criterion.benchmark_group("reduced");
    group.throughput(Throughput::Elements(ORDERS));
    group.bench_function("blocked", |bencher| {
        bencher.iter(|| model.train(&rule, &[0.0; K], black_box(&orders)));
    });
    group.bench_function("plain", |bencher| {
        bencher.iter(|| {
            let run = |order| plainly(&gradients, &curvature, 0.1, order);
            black_box(&orders).iter().map(run).collect::<Vec<_>>()
        });
    });
    group.finish();
}

criterion_group!(benches, reduced);
criterion_main!(benches);
