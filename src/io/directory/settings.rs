//! What the directory needs to know at start.

use std::{path::PathBuf, time::Duration};

use crate::{auth::settings::Secret, io::dialing::TlsFiles};

/// Where etcd is, and what this router says of itself there.
#[derive(Clone, Debug)]
pub struct DirectorySettings {
    /// Its members, `http://` or `https://`; asked one after the other.
    pub endpoints: Vec<String>,
    /// Name and password, where it asks for them.
    pub user: Option<(String, Secret)>,
    /// For https.
    pub tls: Option<TlsFiles>,
    /// All keys begin with it.
    pub prefix: String,
    /// For one call, its connection included.
    pub timeout: Duration,
    /// How long what stands for this router stays when it falls silent.
    pub lease: Duration,
    /// Names this router.
    pub router: String,
    /// Where it is.
    pub region: String,
    /// Where clients reach it itself; may be empty.
    pub url: String,
    /// Where operators reach it; may be empty.
    pub ops_url: String,
    /// Where other routers reach it that have clients of its rooms; empty: nowhere.
    pub relay_url: String,
    /// What outlives the process is there; absent: nothing does.
    pub data_dir: Option<PathBuf>,
}
