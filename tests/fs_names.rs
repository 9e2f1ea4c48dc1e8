//! Names, directories and metadata, beside std's.

// Files need a kernel; under loom there is none.
#![cfg(not(loom))]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::everywhere_with_directory as everywhere;
use futures::StreamExt;
use gorin::fs::Metadata;

#[test]
fn files_are_renamed_linked_and_removed() {
    everywhere(|dir| async move {
        let (old, new) = (dir.path("old"), dir.path("new"));
        fs::write(&old, "content")?;
        fs::write(&new, "in the way")?;
        gorin::fs::rename(&old, &new).await?;
        assert_eq!(
            (old.exists(), fs::read(&new)?),
            (false, b"content".to_vec())
        );

        gorin::fs::hard_link(&new, dir.path("hard")).await?;
        assert_eq!(gorin::fs::metadata(&new).await?.nlink(), 2);
        gorin::fs::symlink("new", dir.path("soft")).await?;
        assert_eq!(
            gorin::fs::read_link(dir.path("soft")).await?,
            Path::new("new")
        );
        let real = gorin::fs::canonicalize(dir.path("soft")).await?;
        assert_eq!(real, fs::canonicalize(&new)?);
        assert!(gorin::fs::exists(dir.path("soft")).await?);

        gorin::fs::remove_file(dir.path("hard")).await?;
        gorin::fs::remove_file(&new).await?;
        assert!(!gorin::fs::try_exists(dir.path("soft")).await?, "dangles");
        gorin::fs::remove_file(dir.path("soft")).await?;
        assert_eq!(fs::read_dir(dir.path(""))?.count(), 0);
        Ok(())
    });
}

/// The kind of error of each call, beside that of std's.
#[test]
fn errors_are_stds() {
    everywhere(|dir| async move {
        let (file, absent) = (dir.path("file"), dir.path("absent"));
        let (below, zero) = (file.join("below"), PathBuf::from("zero\0byte"));
        fs::write(&file, "")?;
        let full = dir.path("");
        for path in [&file, &absent, &full, &below, &zero, &PathBuf::new()] {
            macro_rules! same {
                ($($call:ident($($argument:expr),*);)*) => {$(
                    let ours = gorin::fs::$call($($argument),*).await.map(drop);
                    let theirs = fs::$call($($argument),*).map(drop);
                    let (ours, theirs) = (ours.map_err(|e| e.kind()), theirs.map_err(|e| e.kind()));
                    assert_eq!(ours, theirs, "{} of {path:?}", stringify!($call));
                )*};
            }
            same! {
                metadata(path);
                symlink_metadata(path);
                read_link(path);
                canonicalize(path);
                read_dir(path);
                create_dir_all(&below);
                rename(&absent, path);
                hard_link(&absent, path);
                copy(&absent, path);
                set_permissions(&absent, fs::Permissions::from_mode(0o600));
            }
            if path != &absent {
                same! {
                    create_dir(path);
                    remove_dir(path);
                }
            }
        }
        assert_eq!(
            kind(gorin::fs::try_exists(&below).await),
            Some(ErrorKind::NotADirectory)
        );
        assert_eq!(
            kind(gorin::fs::remove_file(&absent).await),
            Some(ErrorKind::NotFound)
        );
        assert_eq!(
            kind(gorin::fs::remove_dir_all(&absent).await),
            Some(ErrorKind::NotFound)
        );
        assert_eq!(
            kind(gorin::fs::symlink(&absent, &file).await),
            Some(ErrorKind::AlreadyExists)
        );
        assert!(file.exists() && !absent.exists());
        Ok(())
    });
}

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn directories_are_made_listed_and_removed() {
    everywhere(|dir| async move {
        gorin::fs::create_dir(dir.path("a")).await?;
        gorin::fs::create_dir_all(dir.path("a/b/c")).await?;
        gorin::fs::create_dir_all(dir.path("a/b/c")).await?;
        let mut builder = gorin::fs::DirBuilder::new();
        builder.mode(0o700).create(dir.path("private")).await?;
        builder
            .recursive(true)
            .create(dir.path("private/x/y"))
            .await?;
        for name in ["private", "private/x", "private/x/y"] {
            let mode = gorin::fs::metadata(dir.path(name)).await?.mode();
            assert_eq!(mode & 0o777, 0o700, "{name}");
        }
        gorin::fs::remove_dir(dir.path("private/x/y")).await?;
        // More than what is read ahead.
        let expected: BTreeSet<String> = (0..1_000).map(|n| n.to_string()).collect();
        for name in &expected {
            fs::write(dir.path("a/b/c").join(name), name)?;
        }
        let mut entries = gorin::fs::read_dir(dir.path("a/b/c")).await?;
        let mut names = BTreeSet::new();
        while let Some(entry) = entries.next_entry().await? {
            assert_eq!(entry.path(), dir.path("a/b/c").join(entry.file_name()));
            assert!(entry.file_type().await?.is_file());
            let new = names.insert(entry.file_name().into_string().unwrap());
            assert!(new, "listed twice");
        }
        assert_eq!(names, expected);
        assert!(entries.next_entry().await?.is_none(), "still the end");
        let entries = gorin::fs::read_dir(dir.path("a/b/c")).await?;
        let stream = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(stream.collect::<BTreeSet<_>>().await, expected);

        gorin::fs::remove_dir_all(dir.path("a")).await?;
        assert!(!dir.path("a").exists());
        Ok(())
    });
}

#[test]
fn an_entry_knows_its_file() {
    everywhere(|dir| async move {
        fs::write(dir.path("file"), "four")?;
        fs::create_dir(dir.path("dir"))?;
        symlink("file", dir.path("link"))?;
        let mut entries = gorin::fs::read_dir(dir.path("")).await?;
        let mut seen = 0;
        while let Some(entry) = entries.next_entry().await? {
            let metadata = entry.metadata().await?;
            let theirs = fs::symlink_metadata(entry.path())?;
            assert_eq!(metadata.ino(), theirs.ino());
            assert_eq!(entry.ino(), theirs.ino());
            assert_eq!(entry.file_type().await?, metadata.file_type());
            assert_eq!(entry.file_type().await?, theirs.file_type().into());
            seen += 1;
        }
        assert_eq!(seen, 3);
        Ok(())
    });
}

fn assert_same(ours: &Metadata, theirs: &fs::Metadata) {
    assert_eq!(ours.file_type(), theirs.file_type().into());
    assert_eq!(ours.is_dir(), theirs.is_dir());
    assert_eq!(ours.is_file(), theirs.is_file());
    assert_eq!(ours.is_symlink(), theirs.is_symlink());
    let kind = (ours.file_type(), theirs.file_type());
    assert_eq!(kind.0.is_fifo(), kind.1.is_fifo());
    assert_eq!(kind.0.is_socket(), kind.1.is_socket());
    assert_eq!(kind.0.is_char_device(), kind.1.is_char_device());
    assert_eq!(kind.0.is_block_device(), kind.1.is_block_device());
    assert_eq!(ours.len(), theirs.len());
    assert_eq!(ours.permissions(), theirs.permissions());
    assert_eq!(ours.mode(), theirs.mode());
    assert_eq!(ours.modified().ok(), theirs.modified().ok());
    assert_eq!(ours.created().ok(), theirs.created().ok());
    assert_eq!((ours.dev(), ours.rdev()), (theirs.dev(), theirs.rdev()));
    assert_eq!((ours.ino(), ours.nlink()), (theirs.ino(), theirs.nlink()));
    assert_eq!((ours.uid(), ours.gid()), (theirs.uid(), theirs.gid()));
    let changed = (theirs.ctime(), theirs.ctime_nsec());
    assert_eq!((ours.ctime(), ours.ctime_nsec()), changed);
    assert_eq!(ours.blksize(), theirs.blksize());
    assert_eq!(ours.blocks(), theirs.blocks());
}

#[test]
fn metadata_is_what_std_says() {
    everywhere(|dir| async move {
        fs::write(dir.path("file"), "content")?;
        symlink("file", dir.path("link"))?;
        let _socket = UnixListener::bind(dir.path("socket"))?;
        let made = Command::new("mkfifo").arg(dir.path("pipe")).status()?;
        assert!(made.success());
        // Before 1970.
        let old = fs::File::options().write(true).open(dir.path("file"))?;
        let before = std::time::SystemTime::UNIX_EPOCH - std::time::Duration::new(1_000, 500);
        old.set_modified(before)?;
        let names = ["file", "link", "socket", "pipe", ""].map(|name| dir.path(name));
        for path in names
            .into_iter()
            .chain(["/dev/null".into(), "/proc/self".into()])
        {
            assert_same(&gorin::fs::metadata(&path).await?, &fs::metadata(&path)?);
            let ours = gorin::fs::symlink_metadata(&path).await?;
            assert_same(&ours, &fs::symlink_metadata(&path)?);
        }
        let metadata = gorin::fs::metadata(dir.path("file")).await?;
        assert_eq!(metadata.modified()?, before);
        assert!(metadata.accessed()? > before);
        let text = format!("{metadata:?}");
        assert!(
            text.contains("FileType(file)") && text.contains("len: 7"),
            "{text}"
        );
        Ok(())
    });
}

/// To whom they belong already, which everybody may do; and to others, which only root may.
#[test]
fn files_are_given_to_users_and_groups() {
    everywhere(|dir| async move {
        fs::write(dir.path("file"), "content")?;
        symlink("file", dir.path("link"))?;
        symlink("nowhere", dir.path("dangles"))?;
        let theirs = fs::metadata(dir.path("file"))?;
        let (uid, gid) = (Some(theirs.uid()), Some(theirs.gid()));
        gorin::fs::chown(dir.path("link"), uid, None).await?;
        gorin::fs::lchown(dir.path("dangles"), None, gid).await?;
        let nobody = kind(gorin::fs::chown(dir.path("dangles"), uid, gid).await);
        assert_eq!(nobody, Some(ErrorKind::NotFound));
        let (ours, stds) = (dir.path("file"), dir.path("link"));
        let ours = kind(gorin::fs::chown(ours, Some(1), Some(1)).await);
        assert_eq!(ours, kind(std::os::unix::fs::chown(stds, Some(1), Some(1))));
        if ours.is_none() {
            assert_eq!(gorin::fs::metadata(dir.path("file")).await?.uid(), 1);
            gorin::fs::chown(dir.path("file"), uid, gid).await?;
        }
        Ok(())
    });
}

#[test]
fn copies_have_content_and_permissions() {
    everywhere(|dir| async move {
        let (from, to) = (dir.path("from"), dir.path("to"));
        fs::write(&from, vec![7; 1_000_000])?;
        let private = fs::Permissions::from_mode(0o640);
        gorin::fs::set_permissions(&from, private.clone()).await?;
        assert_eq!(gorin::fs::copy(&from, &to).await?, 1_000_000);
        assert!(fs::read(&to)? == vec![7; 1_000_000]);
        assert_eq!(fs::metadata(&to)?.permissions().mode() & 0o777, 0o640);
        Ok(())
    });
}
