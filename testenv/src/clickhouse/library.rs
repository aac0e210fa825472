//! The binding to the engine: the only place with `unsafe`.
//!
//! Its C interface is that of chdb (`programs/local/chdb.h`): connections that work side by side, each with one query at a
//! time. A query on a connection with an open stream would return nothing and no error; so a [`Connection`] hands out its
//! stream by `&mut`, and the type system keeps the two apart.
#![expect(unsafe_code, reason = "a C library is called here, and nowhere else")]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    path::{Path, PathBuf},
    ptr::NonNull,
    sync::{Arc, Mutex},
};

use libloading::Library;

/// The engine, or a query, failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The library is not there, or not what it should be.
    #[error("the ClickHouse library {path} cannot be loaded")]
    Load {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        source: libloading::Error,
    },
    /// The data folder cannot be used.
    #[error("ClickHouse's data folder {path} cannot be used")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The engine gives no connection.
    #[error("ClickHouse gives no connection to the data folder {0}; another process may hold it")]
    Connect(PathBuf),
    /// A text that is passed to the engine holds a NUL.
    #[error("`{0}` holds a NUL byte")]
    Nul(String),
    /// A query failed; the text is ClickHouse's own.
    #[error("{0}")]
    Query(String),
}

type Connect = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut *mut c_void;
type Close = unsafe extern "C" fn(*mut *mut c_void);
type Query = unsafe extern "C" fn(*mut c_void, *const c_char, usize, *const c_char, usize) -> *mut c_void;
type Fetch = unsafe extern "C" fn(*mut c_void, *mut c_void) -> *mut c_void;
type Cancel = unsafe extern "C" fn(*mut c_void, *mut c_void);
type Destroy = unsafe extern "C" fn(*mut c_void);
type Buffer = unsafe extern "C" fn(*mut c_void) -> *const u8;
type Length = unsafe extern "C" fn(*mut c_void) -> usize;
type Rows = unsafe extern "C" fn(*mut c_void) -> u64;
type ErrorText = unsafe extern "C" fn(*mut c_void) -> *const c_char;

/// The functions that are used. The library is never unloaded: its threads would go on in code that is gone.
struct Functions {
    connect: Connect,
    close: Close,
    query: Query,
    stream: Query,
    fetch: Fetch,
    cancel: Cancel,
    destroy: Destroy,
    buffer: Buffer,
    length: Length,
    rows: Rows,
    error: ErrorText,
}

impl std::fmt::Debug for Functions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Functions")
    }
}

/// The engine on a data folder. A process can have one.
#[derive(Debug)]
pub struct Engine {
    functions: Arc<Functions>,
    arguments: Vec<CString>,
    path: PathBuf,
    version: String,
    /// With its last connection the engine would shut down, background work included.
    held: Option<Mutex<Connection>>,
}

impl Engine {
    /// Loads `library`, opens the data folder `path` with the settings in the file `config`, and proves that it answers.
    ///
    /// # Errors
    /// When any of the three cannot be used.
    pub fn open(library: &Path, path: &Path, config: &Path) -> Result<Self, EngineError> {
        let load = |source| EngineError::Load { path: library.to_owned(), source };
        // SAFETY: the file is the pinned library, whose initialisers are those of ClickHouse.
        let loaded = unsafe { Library::new(library) }.map_err(load)?;
        // SAFETY: each name has the type that chdb.h declares for it.
        let functions = unsafe {
            Functions {
                connect: *loaded.get::<Connect>(b"chdb_connect\0").map_err(load)?,
                close: *loaded.get::<Close>(b"chdb_close_conn\0").map_err(load)?,
                query: *loaded.get::<Query>(b"chdb_query_n\0").map_err(load)?,
                stream: *loaded.get::<Query>(b"chdb_stream_query_n\0").map_err(load)?,
                fetch: *loaded.get::<Fetch>(b"chdb_stream_fetch_result\0").map_err(load)?,
                cancel: *loaded.get::<Cancel>(b"chdb_stream_cancel_query\0").map_err(load)?,
                destroy: *loaded.get::<Destroy>(b"chdb_destroy_query_result\0").map_err(load)?,
                buffer: *loaded.get::<Buffer>(b"chdb_result_buffer\0").map_err(load)?,
                length: *loaded.get::<Length>(b"chdb_result_length\0").map_err(load)?,
                rows: *loaded.get::<Rows>(b"chdb_result_rows_read\0").map_err(load)?,
                error: *loaded.get::<ErrorText>(b"chdb_result_error\0").map_err(load)?,
            }
        };
        std::mem::forget(loaded);
        let argument = |text: String| CString::new(text.clone()).map_err(|_| EngineError::Nul(text));
        let arguments = vec![
            argument("clickhouse".into())?,
            argument(format!("--path={}", path.display()))?,
            argument(format!("--config-file={}", config.display()))?,
        ];
        let mut engine = Self {
            functions: Arc::new(functions),
            arguments,
            path: path.to_owned(),
            version: String::new(),
            held: None,
        };
        let mut first = engine.connect()?;
        let version = first.query("SELECT version()", "TSV")?.bytes;
        engine.held = Some(Mutex::new(first));
        String::from_utf8_lossy(&version).trim().clone_into(&mut engine.version);
        Ok(engine)
    }

    /// ClickHouse's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// A connection with default settings and the database `default`. Costs some 0.2 ms.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn connect(&self) -> Result<Connection, EngineError> {
        let mut arguments: Vec<*mut c_char> =
            self.arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(arguments.len()).unwrap_or(0);
        // SAFETY: the arguments are NUL-terminated and live until the call returns; the engine copies them.
        let connection = unsafe { (self.functions.connect)(count, arguments.as_mut_ptr()) };
        let connection = NonNull::new(connection).ok_or_else(|| EngineError::Connect(self.path.clone()))?;
        Ok(Connection { functions: Arc::clone(&self.functions), connection })
    }
}

/// A connection: one query at a time.
#[derive(Debug)]
pub struct Connection {
    functions: Arc<Functions>,
    connection: NonNull<*mut c_void>,
}

// SAFETY: a connection may be used from any thread, one at a time, which `&mut self` ensures.
unsafe impl Send for Connection {}

/// What a query returned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The rows, in the format that was asked for.
    pub bytes: Vec<u8>,
    /// How many rows.
    pub rows: u64,
}

impl Connection {
    /// Runs a query and returns its whole result.
    ///
    /// # Errors
    /// ClickHouse's own text when it fails.
    pub fn query(&mut self, query: impl AsRef<[u8]>, format: &str) -> Result<Answer, EngineError> {
        self.call(self.functions.query, query.as_ref(), format)?.answer()
    }

    /// Runs a query whose result comes in chunks; it must be a SELECT.
    ///
    /// # Errors
    /// ClickHouse's own text when it fails before the first chunk.
    pub fn stream(&mut self, query: impl AsRef<[u8]>, format: &str) -> Result<Stream<'_>, EngineError> {
        let result = self.call(self.functions.stream, query.as_ref(), format)?;
        result.error()?;
        Ok(Stream { connection: self, result, headers_only: false, done: false })
    }

    fn call(&self, function: Query, query: &[u8], format: &str) -> Result<QueryResult, EngineError> {
        // SAFETY: the handle is open; both texts are passed with their lengths and are not kept by the engine.
        let result = unsafe {
            function(self.handle(), query.as_ptr().cast(), query.len(), format.as_ptr().cast(), format.len())
        };
        self.result(result)
            .ok_or_else(|| EngineError::Query("Code: 1002. DB::Exception: the engine gave no result".into()))
    }

    fn handle(&self) -> *mut c_void {
        // SAFETY: the pointer came from `connect` and is valid until `close`.
        unsafe { *self.connection.as_ptr() }
    }

    fn result(&self, result: *mut c_void) -> Option<QueryResult> {
        Some(QueryResult { functions: Arc::clone(&self.functions), result: NonNull::new(result)? })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: closed once, and no stream borrows it any more.
        unsafe { (self.functions.close)(self.connection.as_ptr()) }
    }
}

/// A result in chunks. Dropped before its end, the query is cancelled.
#[derive(Debug)]
pub struct Stream<'a> {
    connection: &'a mut Connection,
    result: QueryResult,
    headers_only: bool,
    done: bool,
}

/// What the engine says when a stream that had no rows is asked for more.
const NO_STREAM: &str = "No active streaming query";

impl Stream<'_> {
    /// The next chunk; `None` at the end.
    ///
    /// # Errors
    /// ClickHouse's own text when the query fails; then the chunks before are not the whole result.
    pub fn next_chunk(&mut self) -> Result<Option<Answer>, EngineError> {
        if self.done {
            return Ok(None);
        }
        // SAFETY: both handles are open; the engine keeps the stream under the connection.
        let fetched =
            unsafe { (self.connection.functions.fetch)(self.connection.handle(), self.result.result.as_ptr()) };
        let fetched = self.connection.result(fetched);
        let answer = match fetched.map(QueryResult::answer).transpose() {
            Ok(answer) => answer.unwrap_or_default(),
            // The engine ends a stream without rows after it has given its header.
            Err(EngineError::Query(text)) if self.headers_only && text.contains(NO_STREAM) => Answer::default(),
            Err(error) => {
                self.done = true;
                return Err(error);
            }
        };
        if answer.bytes.is_empty() {
            self.done = true;
            return Ok(None);
        }
        self.headers_only = answer.rows == 0;
        Ok(Some(answer))
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        if !self.done {
            // SAFETY: as in `next_chunk`; a stream that has ended is not cancelled.
            unsafe { (self.connection.functions.cancel)(self.connection.handle(), self.result.result.as_ptr()) }
        }
    }
}

#[derive(Debug)]
struct QueryResult {
    functions: Arc<Functions>,
    result: NonNull<c_void>,
}

// SAFETY: a result is plain memory that its owner alone uses.
unsafe impl Send for QueryResult {}

impl QueryResult {
    fn error(&self) -> Result<(), EngineError> {
        // SAFETY: the result is alive; the text, if any, is NUL-terminated and lives as long as it.
        let text = unsafe {
            let text = (self.functions.error)(self.result.as_ptr());
            if text.is_null() {
                return Ok(());
            }
            CStr::from_ptr(text).to_string_lossy().into_owned()
        };
        if text.is_empty() { Ok(()) } else { Err(EngineError::Query(text)) }
    }

    fn answer(self) -> Result<Answer, EngineError> {
        self.error()?;
        // SAFETY: the result is alive, and its buffer holds as many bytes as it says.
        unsafe {
            let (buffer, length) =
                ((self.functions.buffer)(self.result.as_ptr()), (self.functions.length)(self.result.as_ptr()));
            let bytes = if buffer.is_null() || length == 0 {
                Vec::new()
            } else {
                std::slice::from_raw_parts(buffer, length).to_vec()
            };
            Ok(Answer { bytes, rows: (self.functions.rows)(self.result.as_ptr()) })
        }
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        // SAFETY: destroyed once, by its only owner.
        unsafe { (self.functions.destroy)(self.result.as_ptr()) }
    }
}
