//! Fetching from a server on this machine that answers as told, honest or not.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::*;

const CONTENT: &[u8] = b"abc";
const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// Serves one prepared answer per request, in order, then stops listening; gives its address
/// and, as they come, the requests' `Range` headers.
fn serve(answers: Vec<Vec<u8>>) -> (String, Receiver<Option<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/file", listener.local_addr().unwrap());
    let (sender, ranges) = mpsc::channel();
    thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            // Not every test listens.
            let _ = sender.send(request_range(&stream));
            // A client that has seen enough hangs up first.
            let _ = (&stream).write_all(&answer);
        }
    });
    (address, ranges)
}

fn request_range(stream: &TcpStream) -> Option<String> {
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    headers.iter().find_map(|line| line.to_lowercase().strip_prefix("range: ").map(str::to_owned))
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

fn whole(body: &[u8]) -> Vec<u8> {
    answer("200 OK", &format!("Content-Length: {}\r\n", body.len()), body)
}

fn plain_fetcher() -> Fetcher {
    Fetcher::from_config(Agent::config_builder().proxy(None))
}

/// A data folder, and a fetch of one three-byte file into it from the given addresses.
struct Case {
    folder: tempfile::TempDir,
    file: DataFile,
}

impl Case {
    fn new(addresses: Vec<String>) -> Self {
        let urls: Vec<&'static str> =
            addresses.into_iter().map(|url| &*Box::leak(url.into_boxed_str())).collect();
        let (path, pin) = ("set/file", Pin::File(SHA256));
        let file = DataFile { path, bytes: 3, pin, urls: Box::leak(urls.into_boxed_slice()) };
        Self { folder: tempfile::tempdir().unwrap(), file }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("set").join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::create_dir_all(self.folder.path().join("set")).unwrap();
        fs::write(self.path(name), bytes).unwrap();
    }

    fn fetch_by(&self, fetcher: &Fetcher) -> Result<PathBuf, DataError> {
        let data_dir = self.folder.path().to_path_buf();
        let sources = Sources { cache_dir: data_dir.join("cache"), data_dir };
        fetcher.fetch_file(&self.file, &sources, &mut |_| {})
    }

    fn fetch(&self) -> Result<PathBuf, DataError> {
        self.fetch_by(&plain_fetcher())
    }

    /// The problems of a fetch that fails, after checking that it left no file in place.
    fn problems(&self) -> (Vec<Problem>, Option<PathBuf>) {
        let error = self.fetch().unwrap_err();
        assert!(!self.path("file").exists());
        match error {
            DataError::Fetch { attempts, partial, .. } => {
                (attempts.into_iter().map(|(_, problem)| problem).collect(), partial)
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn the_right_content_is_put_in_place_and_no_part_is_left() {
    let case = Case::new(vec![serve(vec![whole(CONTENT)]).0]);
    assert_eq!(fs::read(case.fetch().unwrap()).unwrap(), CONTENT);
    assert!(!case.path("file.part").exists());
}

#[test]
fn a_file_already_there_is_not_fetched_again() {
    let case = Case::new(vec!["http://127.0.0.1:9/closed".to_owned()]);
    case.write("file", CONTENT);
    assert_eq!(case.fetch().unwrap(), case.path("file"));
}

#[test]
fn another_file_in_the_way_is_never_overwritten() {
    let (address, _) = serve(vec![whole(CONTENT)]);
    let case = Case::new(vec![address]);
    case.write("file", b"mine");
    assert!(matches!(case.fetch(), Err(DataError::Occupied { .. })));
    assert_eq!(fs::read(case.path("file")).unwrap(), b"mine");
}

#[test]
fn wrong_content_is_refused_and_the_mirror_is_tried() {
    let (first, _) = serve(vec![whole(b"xyz")]);
    let (second, _) = serve(vec![whole(CONTENT)]);
    let case = Case::new(vec![first.clone(), second]);
    assert_eq!(fs::read(case.fetch().unwrap()).unwrap(), CONTENT);
    let (first, _) = serve(vec![whole(b"xyz")]);
    let (problems, partial) = Case::new(vec![first]).problems();
    assert!(matches!(problems[..], [Problem::Hash { bytes: 3 }]), "{problems:?}");
    assert_eq!(partial, None);
}

#[test]
fn a_truncated_transfer_is_kept_and_the_next_fetch_resumes_it() {
    let short = answer("200 OK", "Content-Length: 3\r\n", b"ab");
    let rest =
        answer("206 Partial Content", "Content-Length: 1\r\nContent-Range: bytes 2-2/3\r\n", b"c");
    let (address, ranges) = serve(vec![short, rest]);
    let case = Case::new(vec![address]);
    let (problems, partial) = case.problems();
    assert!(matches!(problems[..], [Problem::Short { found: 2, expected: 3 }]), "{problems:?}");
    assert_eq!(partial, Some(case.path("file.part")));
    assert_eq!(fs::read(case.fetch().unwrap()).unwrap(), CONTENT);
    assert_eq!(ranges.iter().collect::<Vec<_>>(), [None, Some("bytes=2-".to_owned())]);
}

#[test]
fn a_part_of_another_file_is_given_up_and_fetched_from_the_start() {
    let rest = answer("206 Partial Content", "Content-Range: bytes 2-2/3\r\n", b"c");
    let (address, ranges) = serve(vec![rest, whole(CONTENT)]);
    let case = Case::new(vec![address]);
    case.write("file.part", b"zz");
    assert_eq!(fs::read(case.fetch().unwrap()).unwrap(), CONTENT);
    assert_eq!(ranges.iter().collect::<Vec<_>>(), [Some("bytes=2-".to_owned()), None]);
}

#[test]
fn a_server_that_ignores_the_range_sends_the_whole_file() {
    let (address, _) = serve(vec![whole(CONTENT)]);
    let case = Case::new(vec![address]);
    case.write("file.part", b"ab");
    assert_eq!(fs::read(case.fetch().unwrap()).unwrap(), CONTENT);
}

#[test]
fn a_complete_part_is_accepted_when_nothing_is_left_to_send() {
    let (address, _) = serve(vec![answer("416 Range Not Satisfiable", "", b"")]);
    let case = Case::new(vec![address]);
    case.write("file.part", CONTENT);
    assert_eq!(fs::read(case.fetch().unwrap()).unwrap(), CONTENT);
}

#[test]
fn a_part_longer_than_the_published_file_is_started_again() {
    let (address, ranges) = serve(vec![whole(CONTENT)]);
    let case = Case::new(vec![address]);
    case.write("file.part", b"abcd");
    assert_eq!(fs::read(case.fetch().unwrap()).unwrap(), CONTENT);
    assert_eq!(ranges.iter().collect::<Vec<_>>(), [None]);
}

#[test]
fn a_range_that_starts_elsewhere_is_refused() {
    let other = answer("206 Partial Content", "Content-Range: bytes 0-0/3\r\n", b"a");
    let case = Case::new(vec![serve(vec![other]).0]);
    case.write("file.part", b"ab");
    let (problems, _) = case.problems();
    assert!(matches!(problems[..], [Problem::Status(206)]), "{problems:?}");
}

#[test]
fn a_content_length_beyond_the_published_size_is_refused_before_a_byte_is_kept() {
    let endless = answer("200 OK", "Content-Length: 1000000000000\r\n", b"abcdef");
    let (problems, partial) = Case::new(vec![serve(vec![endless]).0]).problems();
    assert!(
        matches!(problems[..], [Problem::Long { found: 1_000_000_000_000, cap: 3 }]),
        "{problems:?}"
    );
    assert_eq!(partial, None);
}

#[test]
fn a_body_without_length_is_cut_off_at_the_published_size() {
    let endless = answer("200 OK", "", &vec![0; 1 << 20]);
    let (problems, partial) = Case::new(vec![serve(vec![endless]).0]).problems();
    assert!(matches!(problems[..], [Problem::Long { cap: 3, .. }]), "{problems:?}");
    assert_eq!(partial, None);
}

#[test]
fn a_content_length_shorter_than_the_body_gives_a_hash_mismatch() {
    let lying = answer("200 OK", "Content-Length: 2\r\n", CONTENT);
    let (problems, _) = Case::new(vec![serve(vec![lying]).0]).problems();
    assert!(matches!(problems[..], [Problem::Hash { bytes: 2 }]), "{problems:?}");
}

#[test]
fn a_redirect_is_followed_and_a_redirect_loop_ends() {
    let (target, _) = serve(vec![whole(CONTENT)]);
    let (address, _) = serve(vec![answer("302 Found", &format!("Location: {target}\r\n"), b"")]);
    assert!(Case::new(vec![address]).fetch().is_ok());
    let again = answer("302 Found", "Location: /file\r\n", b"");
    let (problems, _) = Case::new(vec![serve(vec![again; 20]).0]).problems();
    assert!(matches!(problems[..], [Problem::Transfer(_)]), "{problems:?}");
    assert!(problems[0].to_string().contains("redirect"), "{}", problems[0]);
}

#[test]
fn an_error_page_is_not_taken_for_the_file() {
    let missing = answer("404 Not Found", "Content-Length: 3\r\n", CONTENT);
    let (problems, _) = Case::new(vec![serve(vec![missing]).0]).problems();
    assert!(matches!(problems[..], [Problem::Status(404)]), "{problems:?}");
}

#[test]
fn without_a_network_the_error_says_where_to_put_the_file() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/file", listener.local_addr().unwrap());
    drop(listener);
    let case = Case::new(vec![address.clone()]);
    let error = case.fetch().unwrap_err().to_string();
    let place = format!("put it at {}", case.path("file").display());
    assert!(error.contains(&address) && error.ends_with(&place), "{error}");
}

#[test]
fn an_address_without_encryption_is_refused() {
    let (address, _) = serve(vec![whole(CONTENT)]);
    let fetcher = Fetcher::from_config(Agent::config_builder().https_only(true).proxy(None));
    let error = Case::new(vec![address]).fetch_by(&fetcher).unwrap_err().to_string();
    assert!(error.contains("https"), "{error}");
}

#[test]
fn a_server_that_fails_to_encrypt_is_a_problem_not_a_panic() {
    let (address, _) = serve(vec![whole(CONTENT)]);
    let (problems, _) = Case::new(vec![address.replace("http:", "https:")]).problems();
    assert!(matches!(problems[..], [Problem::Transfer(_)]), "{problems:?}");
}

#[test]
fn two_fetches_of_one_file_do_not_mix() {
    let case = Case::new(vec!["http://127.0.0.1:9/unused".to_owned()]);
    fs::create_dir_all(case.folder.path().join("set")).unwrap();
    let _first = Part::open(&case.path("file")).unwrap();
    assert!(matches!(case.fetch(), Err(DataError::Busy { .. })));
}

#[test]
fn generated_data_needs_no_fetch_and_unknown_data_is_named() {
    let sources = Sources { data_dir: "none".into(), cache_dir: "none".into() };
    let fetcher = plain_fetcher();
    assert!(fetcher.fetch("blobs", &sources, &mut |_| {}).unwrap().is_empty());
    let error = fetcher.fetch("imagenet", &sources, &mut |_| {}).unwrap_err();
    assert!(matches!(error, DataError::UnknownName { .. }));
}
