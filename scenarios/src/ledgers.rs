//! The ledgers of a run: one for each sender, whatever machine it was on, which judge together.
//!
//! A run that one sender sends keeps its ledger in `ledger`; sender 2 of 3 keeps its own in `ledger-2-of-3`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use checkers::{reasons::Reason, verdict::Obstacle};
use generators::{
    journal::{Header, ReadError},
    ledger::{LedgerReader, Record},
    timetable::Shard,
};
use reports::figures::count;

use crate::{
    failure::{Failure, Kind},
    stored::damaged,
};

/// What the file of a ledger is called.
pub fn file_name(shard: Shard) -> String {
    if shard.is_whole() { "ledger".to_owned() } else { format!("ledger-{}", shard.to_string().replace('/', "-of-")) }
}

/// Whose ledger a file is; `None` if it is none.
fn shard_of(file_name: &str) -> Option<Shard> {
    match file_name.strip_prefix("ledger")? {
        "" => Some(Shard::WHOLE),
        rest => rest.strip_prefix('-')?.replacen("-of-", "/", 1).parse().ok(),
    }
}

/// What stands in the way of a pass where so many `requests` were not sent once more as the plan says, whoever gave them up.
pub fn given_up(requests: u64) -> Option<String> {
    (requests > 0).then(|| {
        format!(
            "{} second sendings and duplicates of requests were given up, since too many waited at once, so some {} the \
             second time: shorten `resend_after` and `duplicate_after`, or lower the rate",
            count(requests),
            Reason::TooManyUnsent.words()
        )
    })
}

/// The ledgers in a run's directory.
#[derive(Debug)]
pub struct Ledgers {
    files: Vec<(Shard, PathBuf)>,
    missing: Vec<Shard>,
}

impl Ledgers {
    /// Looks into `folder`.
    ///
    /// # Errors
    /// When it cannot be read, or two ledgers hold the same requests.
    pub fn find(folder: &Path) -> Result<Self, Failure> {
        let unreadable =
            |error| Failure::caused(Kind::Unavailable, format!("{} cannot be read", folder.display()), "", error);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if let Some(shard) = entry.file_name().to_str().and_then(shard_of) {
                files.push((shard, entry.path()));
            }
        }
        files.sort_unstable_by_key(|(shard, _)| *shard);
        let shards: Vec<_> = files.iter().map(|(shard, _)| *shard).collect();
        let missing = Shard::missing(&shards).map_err(|error| {
            let what = format!("the ledgers in {} are not of one run", folder.display());
            Failure::caused(Kind::Usage, what, "take away the ledger that is not of this run", error)
        })?;
        Ok(Self { files, missing })
    }

    /// Whose they are, and where.
    pub fn files(&self) -> &[(Shard, PathBuf)] {
        &self.files
    }

    /// The shares that no ledger is there of.
    pub fn missing(&self) -> &[Shard] {
        &self.missing
    }

    /// What stands in the way of a verdict, if a share's ledger is not there.
    pub fn obstacle(&self) -> Option<Obstacle> {
        let named: Vec<_> = self.missing.iter().take(5).map(ToString::to_string).collect();
        // A run that was killed before anything was sent has none at all, which is told by other means.
        (!self.missing.is_empty() && !self.files.is_empty()).then(|| {
            let what = match self.missing.len() {
                1 => format!("share {} of the traffic", named[0]),
                more => {
                    format!("{more} shares of the traffic ({}{})", named.join(", "), if more > 5 { ", …" } else { "" })
                }
            };
            // Its events would look like events that nobody has sent.
            Obstacle::Invalid(format!(
                "what became of {what} is not known: {}; put it into the run's directory and judge again \
                 with `assay check`",
                Reason::MissingShare.words()
            ))
        })
    }

    /// How long each of them is, in bytes, by its name.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn lengths(&self) -> Result<BTreeMap<String, u64>, Failure> {
        let length = |(shard, path): &(Shard, PathBuf)| {
            let metadata = path.metadata().map_err(|error| {
                Failure::caused(Kind::Unavailable, format!("{} cannot be read", path.display()), "", error)
            })?;
            Ok((file_name(*shard), metadata.len()))
        };
        self.files.iter().map(length).collect()
    }

    /// The CRC-32 of each of them, by its name.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn checksums(&self) -> Result<BTreeMap<String, u32>, Failure> {
        let checksum = |(shard, path): &(Shard, PathBuf)| Ok((file_name(*shard), checksum(path, u64::MAX)?));
        self.files.iter().map(checksum).collect()
    }

    /// Makes sure that nothing of a run that has ended was lost or changed since, when its ledgers had these `lengths` and
    /// `checksums`: what is not in them would look like events that nobody has sent.
    ///
    /// # Errors
    /// Which ledger is gone, shorter, or another one.
    pub fn must_be_whole(
        &self,
        lengths: &BTreeMap<String, u64>,
        checksums: &BTreeMap<String, u32>,
    ) -> Result<(), Failure> {
        let found = self.lengths()?;
        let wrong = lengths.iter().find_map(|(name, length)| match found.get(name) {
            // Of a share that is missing beside others the verdict tells.
            None => self.files.is_empty().then(|| format!("{name} is gone, so nobody knows what was sent")),
            Some(found) if found < length => {
                Some(format!("{name} has {found} bytes, and had {length} when the run ended: its end is missing"))
            }
            Some(_) => None,
        });
        wrong.map_or(Ok(()), |what| {
            Err(Failure::told(
                Kind::Usage,
                what,
                "judge the run's own directory, or copy it again with all of its files",
            ))
        })?;
        for (shard, path) in &self.files {
            let name = file_name(*shard);
            let (Some(length), Some(noted)) = (lengths.get(&name), checksums.get(&name)) else { continue };
            if checksum(path, *length)? != *noted {
                return Err(Failure::told(
                    Kind::Usage,
                    format!("{name} is not what it was when the run ended: its {length} bytes have another checksum"),
                    "judge the run's own directory, or copy it again; look at the disk that it is on",
                ));
            }
        }
        Ok(())
    }

    /// Opens them all; each must be of the run that `header` tells of.
    ///
    /// # Errors
    /// When one cannot be read, or is of another run.
    pub fn open(&self, header: Header) -> Result<Vec<LedgerReader>, Failure> {
        self.files.iter().map(|(_, path)| open(path, header)).collect()
    }

    /// The records of all of them, one ledger after the other.
    ///
    /// # Errors
    /// When one cannot be read, or is of another run.
    pub fn records(&self, header: Header) -> Result<impl Iterator<Item = Result<Record, ReadError>> + use<>, Failure> {
        Ok(self.open(header)?.into_iter().flatten())
    }
}

/// The CRC-32 of the first `length` bytes of a file.
fn checksum(path: &Path, length: u64) -> Result<u32, Failure> {
    let unreadable =
        |error| Failure::caused(Kind::Unavailable, format!("{} cannot be read", path.display()), "", error);
    let mut file = File::open(path).map_err(unreadable)?.take(length);
    let (mut hasher, mut buffer) = (crc32fast::Hasher::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).map_err(unreadable)? {
            0 => return Ok(hasher.finalize()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Opens the ledger at `path`, which must be of the run that `header` tells of.
///
/// # Errors
/// When it cannot be read, or is of another run.
pub fn open(path: &Path, header: Header) -> Result<LedgerReader, Failure> {
    let ledger = LedgerReader::open(path).map_err(damaged)?;
    match ledger.header() {
        // Its writer was stopped before it had written one.
        None => Ok(ledger),
        Some(found) if found == header => Ok(ledger),
        Some(found) => Err(Failure::told(
            Kind::Usage,
            format!("{} is the ledger of run {}, not of run {}", path.display(), found.run, header.run),
            "each share of a run must be sent for the run's own manifest.json",
        )),
    }
}

#[cfg(test)]
mod tests {
    use generators::{
        clock::RunStart,
        identity::RunId,
        ledger::{End, LedgerWriter},
    };

    use super::*;

    const HEADER: Header = Header { run: RunId::new(7), start: RunStart::from_unix_micros(1) };

    #[test]
    fn ledgers_are_found_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let missing = || Ledgers::find(folder.path()).unwrap().missing;
        let share = |text: &str| text.parse::<Shard>().unwrap();
        assert!(Ledgers::find(folder.path()).unwrap().obstacle().is_none());
        for name in ["ledger-1-of-3", "ledger-3-of-3", "ledger-x", "ledger-1-of-3.part", "reads"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(missing(), [share("2/3")]);
        let obstacle = format!("{:?}", Ledgers::find(folder.path()).unwrap().obstacle());
        assert!(obstacle.contains("share 2/3 of the traffic is not known"), "{obstacle}");
        std::fs::write(folder.path().join(file_name(share("2/3"))), "").unwrap();
        assert_eq!(missing(), []);
        assert_eq!(Ledgers::find(folder.path()).unwrap().files().len(), 3);
        std::fs::write(folder.path().join(file_name(Shard::WHOLE)), "").unwrap();
        let error = format!("{:?}", Ledgers::find(folder.path()).unwrap_err());
        assert!(error.contains("not of one run"), "{error}");
    }

    #[test]
    fn a_ledger_that_was_lost_or_cut_off_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        std::fs::write(&path, [0; 100]).unwrap();
        let lengths = Ledgers::find(folder.path()).unwrap().lengths().unwrap();
        assert_eq!(lengths, BTreeMap::from([("ledger".to_owned(), 100)]));
        let checksums = Ledgers::find(folder.path()).unwrap().checksums().unwrap();
        let said = || format!("{:?}", Ledgers::find(folder.path()).unwrap().must_be_whole(&lengths, &checksums));
        assert_eq!(said(), "Ok(())");
        // A share that came later from another machine.
        std::fs::write(folder.path().join("ledger"), [0; 101]).unwrap();
        assert_eq!(said(), "Ok(())");
        let mut damaged = [0; 100];
        damaged[50] = 1;
        std::fs::write(&path, damaged).unwrap();
        assert!(said().contains("100 bytes have another"), "{}", said());
        std::fs::write(&path, [0; 99]).unwrap();
        assert!(said().contains("99 bytes") && said().contains("100 when"), "{}", said());
        std::fs::remove_file(&path).unwrap();
        assert!(said().contains("ledger is gone"), "{}", said());
    }

    #[test]
    fn what_any_share_gave_up_is_known_from_its_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let given_up_of = |name: &str, records: &[Record]| {
            LedgerWriter::create(&folder.path().join(name), HEADER).unwrap().append(records).unwrap();
            let records = Ledgers::find(folder.path()).unwrap().records(HEADER).unwrap().map(Result::unwrap);
            records.filter_map(|record| if let Record::GivenUp(many) = record { Some(many) } else { None }).sum::<u64>()
        };
        let end = Record::End(End::Complete);
        assert_eq!(given_up_of("ledger-1-of-3", std::slice::from_ref(&end)), 0);
        assert_eq!(given_up_of("ledger-2-of-3", &[Record::GivenUp(3_000), end.clone()]), 3_000);
        assert_eq!(given_up_of("ledger-3-of-3", &[Record::GivenUp(7), end]), 3_007);
        assert_eq!(given_up(0), None);
        let told = given_up(3_007).unwrap();
        assert!(told.starts_with("3 007 second sendings and duplicates of requests were given up, "), "{told}");
        assert!(told.contains("of the events are unsent the second time"), "{told}");
    }

    #[test]
    fn a_ledger_of_another_run_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        LedgerWriter::create(&path, HEADER).unwrap();
        let ledgers = Ledgers::find(folder.path()).unwrap();
        assert_eq!(ledgers.open(HEADER).unwrap().len(), 1);
        for other in
            [Header { run: RunId::new(8), ..HEADER }, Header { start: RunStart::from_unix_micros(2), ..HEADER }]
        {
            let error = format!("{:?}", ledgers.open(other).unwrap_err());
            assert!(error.contains("is the ledger of run"), "{error}");
        }
    }
}
