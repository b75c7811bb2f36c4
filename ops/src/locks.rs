//! The locked images that the user named secrets for. They are unlocked before any table of any image is read: what takes the guest over
//! later finds the keys of these images, and no passphrase.

use alloc::vec::Vec;

use instar_abi::job::{Create, LuksCreate, NewEncryption, Qcow2Create, QcowCreate, Source, Target, Verb};
use instar_abi::{Format, ImageText, NamedSecret, Slot};
use instar_crypt::legacy_key;
use instar_crypt::luks1::{Made, Plan};
use instar_disk::{Fault, Key, Result, fault};

use crate::detect::detect;
use crate::formats;
use crate::session::{Session, internal};

/// What became of each of them. A failure is told when the image is opened.
#[derive(Default)]
pub(crate) struct Locks {
    opened: Vec<(Slot, Result<Key>)>,
    /// The header of the new image, and its key.
    made: Option<Result<Made>>,
    /// What becomes of key slots.
    plan: Option<Result<Plan>>,
}

impl Locks {
    /// Unlocks what `session` has a secret for.
    pub(crate) fn open(session: &Session<'_>, secrets: &[NamedSecret]) -> Self {
        let verb = &session.job.verb;
        // Who looks at an image, or judges it, reads no data.
        if matches!(verb, Verb::Info(_) | Verb::Safety(_)) {
            return Self::default();
        }
        let images = verb.images();
        let locked = images.into_iter().flat_map(Source::layers);
        let (mut opened, mut made, mut plan) = (Vec::new(), None, None);
        for image in locked {
            let key = match verb.keys() {
                None => unlock(session, image, secrets),
                Some(keys) => unlock_to_plan(session, image, secrets, &mut |unlocked| {
                    plan = Some(random(secrets).and_then(|random| {
                        let passphrase = |id: &ImageText| named(secrets, id).and_then(text);
                        match unlocked {
                            Unlocked::Luks(disk) => disk.plan(keys, &passphrase, random),
                            Unlocked::Qcow2(image) => image.plan(keys, &passphrase, random),
                        }
                    }));
                }),
            };
            opened.extend(key.transpose().map(|key| (image.slot, key)));
        }
        if let Some(target) = verb.target() {
            if target.existing {
                let key = unlock(session, &existing(target), secrets).transpose();
                opened.extend(key.map(|key| (target.slot, key)));
            } else if let Some((options, id)) = luks(&target.create) {
                made = Some(make(options, id, secrets));
            }
            if let Some(id) = legacy(target) {
                let key = named(secrets, id).and_then(|secret| legacy_key(text(secret)?));
                opened.push((target.slot, key));
            }
        }
        Self { opened, made, plan }
    }

    /// The header of the new image, if it is sealed.
    pub(crate) fn made(&self) -> Result<&Made> {
        match &self.made {
            Some(made) => made.as_ref().map_err(Clone::clone),
            None => Err(Fault::new(fault::luks::NO_KEY)),
        }
    }

    /// What becomes of key slots, if anything does.
    pub(crate) fn plan(&self) -> Result<Option<&Plan>> {
        let plan = self.plan.as_ref();
        plan.map(|plan| plan.as_ref().map_err(Clone::clone)).transpose()
    }

    /// The key of the image in that file.
    pub(crate) fn key(&self, slot: Slot) -> Result<Option<Key>> {
        let found = self.opened.iter().find(|(known, _)| *known == slot);
        found.map(|(_, key)| key.clone()).transpose()
    }
}

/// The key of an image, if the user named a secret for it and it is encrypted.
fn unlock(session: &Session<'_>, image: &Source, secrets: &[NamedSecret]) -> Result<Option<Key>> {
    match secret_of(session, image)? {
        Some((format, id)) => {
            let passphrase = text(named(secrets, id)?)?;
            if let (Format::Luks, Some(header)) = (format, session.header(Some(image))?) {
                return instar_luks::unlock_apart(header, passphrase).map(Some);
            }
            let file = session.file(image.slot)?;
            formats::unlock(format, file, passphrase)
        }
        None => Ok(None),
    }
}

/// An image whose key slots can be changed.
enum Unlocked<'u, 'h> {
    Luks(&'u instar_luks::Unlocked<'h>),
    Qcow2(&'u instar_qcow2::Unlocked<'h>),
}

/// The same for an image whose key slots are to be changed: `plan` is told of one that has such.
fn unlock_to_plan(
    session: &Session<'_>,
    image: &Source,
    secrets: &[NamedSecret],
    plan: &mut dyn FnMut(Unlocked<'_, '_>),
) -> Result<Option<Key>> {
    let Some((format, id)) = secret_of(session, image)? else {
        return Ok(None);
    };
    let file = session.file(image.slot)?;
    let passphrase = text(named(secrets, id)?)?;
    match format {
        Format::Luks => {
            let unlocked = instar_luks::Unlocked::open(file, passphrase)?;
            plan(Unlocked::Luks(&unlocked));
            unlocked.key().map(Some)
        }
        Format::Qcow2 => match instar_qcow2::Unlocked::open(file, passphrase)? {
            Some(unlocked) => {
                plan(Unlocked::Qcow2(&unlocked));
                unlocked.key().map(Some)
            }
            None => formats::unlock(format, file, passphrase),
        },
        _ => Err(formats::unexpected_key(format, "")),
    }
}

/// The format of an image that the user named a secret for, and its name.
fn secret_of<'s>(session: &Session<'_>, image: &'s Source) -> Result<Option<(Format, &'s ImageText)>> {
    if image.key.is_none() && image.encrypt.key.is_none() {
        return Ok(None);
    }
    let file = session.file(image.slot)?;
    let format = match image.format {
        Some(format) => format,
        None => detect(session, &file)?,
    };
    let (id, other) = match format {
        Format::Qcow | Format::Qcow2 => (&image.encrypt.key, &image.key),
        _ => (&image.key, &image.encrypt.key),
    };
    formats::expect_encryption(format, file, &image.encrypt)?;
    match (id, other) {
        (Some(id), _) => Ok(Some((format, id))),
        (None, Some(_)) if matches!(format, Format::Qcow | Format::Qcow2) => {
            Err(formats::unexpected_key(format, ""))
        }
        (None, _) => Err(formats::unexpected_key(format, "encrypt.")),
    }
}

fn make(options: &LuksCreate, id: &ImageText, secrets: &[NamedSecret]) -> Result<Made> {
    Made::new(options, text(named(secrets, id)?)?, random(secrets)?)
}

/// The target as an image that is there.
fn existing(target: &Target) -> Source {
    let key = match &target.create {
        Create::Luks(options) => options.key.clone(),
        _ => None,
    };
    Source {
        key,
        encrypt: target.encrypt.clone(),
        ..Source::new(target.slot, Some(target.create.format()))
    }
}

/// The LUKS header that a new image is to have, and the secret that opens it.
fn luks(create: &Create) -> Option<(&LuksCreate, &ImageText)> {
    match create {
        Create::Luks(options)
        | Create::Qcow2(Qcow2Create {
            encryption: Some(NewEncryption::Luks(options)),
            ..
        }) => Some((options, options.key.as_ref()?)),
        _ => None,
    }
}

/// The secret that a new image is sealed with by itself.
const fn legacy(target: &Target) -> Option<&ImageText> {
    match &target.create {
        Create::Qcow2(Qcow2Create {
            encryption: Some(NewEncryption::Aes(id)),
            ..
        })
        | Create::Qcow(QcowCreate { key: Some(id), .. }) => Some(id),
        _ => None,
    }
}

/// What the host gave for new keys.
fn random(secrets: &[NamedSecret]) -> Result<&[u8; 32]> {
    let random = secrets
        .iter()
        .find(|known| known.id.as_bytes() == NamedSecret::RANDOM);
    let random = random.and_then(|random| <&[u8; 32]>::try_from(random.content.expose()).ok());
    random.ok_or_else(|| internal(line!()))
}

/// The secret of that name.
fn named<'s>(secrets: &'s [NamedSecret], id: &ImageText) -> Result<&'s NamedSecret> {
    let known = secrets.iter().find(|secret| secret.id == *id);
    known.ok_or_else(|| Fault::new(fault::luks::NO_SECRET).named(id.as_bytes()))
}

/// A passphrase, which must be text.
fn text(secret: &NamedSecret) -> Result<&[u8]> {
    match core::str::from_utf8(secret.content.expose()) {
        Ok(text) => Ok(text.as_bytes()),
        Err(_) => Err(Fault::new(fault::luks::NOT_TEXT).named(secret.id.as_bytes())),
    }
}
