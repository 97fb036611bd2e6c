"""The running of one plan: every step of it that is to be done, in order, each leaving something for the next."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fnctl import paths
from fnctl.builder import bundle as bundles
from fnctl.builder import code_cache, dependencies, inputs, install_plan, record, ship, store
from fnctl.builder.bundle import Item
from fnctl.builder.dependencies import Dependencies, Workshop
from fnctl.builder.existing import bundle_of, is_sealed
from fnctl.builder.plan import Action, Goal, Plan
from fnctl.builder.record import Release
from fnctl.model import Project
from fnctl.paths import ProjectPaths
from fnctl.progress import told


@dataclass(frozen=True, slots=True)
class BuildEnvironment:
    """Where plans are run: the workshop for steps in containers, the project, the sandbox image."""

    shop: Workshop
    project: Project
    image: str

    @property
    def releases(self) -> Path:
        return ProjectPaths.of(self.project.id).releases


@dataclass(frozen=True, slots=True)
class Copied:
    """The folder's own files, copied to `root` and read once."""

    root: Path
    code: tuple[Item, ...]
    key: str | None  # of the dependencies
    source: str  # over everything the bundle will be made from
    fingerprint: str | None  # of the inputs; None where a file changed while it was copied


def run(plan: Plan, environment: BuildEnvironment) -> Making:
    """Do every step that is to be done. What fails raises, and leaves the version before as it was: the release record
    is replaced last, and what was made by then lies beside."""
    with store.working_folder(paths.bundles()) as work:
        making = Making(plan, environment, work)
        for step in plan.steps:
            if step.cached is not True and not making.has(step.action):
                _ACTS[step.action](making)
    return making


class Making:
    """A build that is running. What it makes lies in the folder `work` until it is moved to its place."""

    def __init__(self, plan: Plan, environment: BuildEnvironment, work: Path) -> None:
        self.plan = plan
        self.function = plan.function
        self.spec = plan.spec
        self.environment = environment
        self.shop = environment.shop
        self.release: Release | None = plan.known.last if plan.known.unchanged else None
        self.items: tuple[Item, ...] = ()  # what the bundle holds, so far
        self.new_version = False  # another bundle than the last release's
        self.new_image = False
        self.installed = False  # now, and not before
        self._work = work
        self._copied: Copied | None = None
        self._dependencies: Dependencies | None = None
        self._bundled = False

    def has(self, action: Action) -> bool:
        """Is the step's result there, since the copy's contents are those of a version that is?"""
        return self.release is not None and action in (Action.INSTALL, Action.COMPILE, Action.BUNDLE)

    @property
    def copied(self) -> Copied:
        assert self._copied is not None, "every plan that makes a bundle copies first"
        return self._copied

    def copy(self) -> None:
        """The folder's files, read once; the release where a version of the same contents is there."""
        plan, root = self.plan, self._work / "app"
        root.mkdir(mode=0o755)
        code = store.copy(plan.inputs.entries, self.function.path, root)
        key = install_plan.key(plan.install, self.spec, code) if plan.install is not None else None
        contents = [(item.name, item.kind, item.value) for item in code]
        source = json.dumps([inputs.FORMAT, inputs.runtime_identity(self.spec), key, contents])
        unmoved = inputs.read(self.function, self.spec).entries == plan.inputs.entries
        fingerprint = plan.inputs.fingerprint if unmoved else None
        self._copied = Copied(root, code, key, hashlib.sha256(source.encode()).hexdigest(), fingerprint)
        self.items = code
        if plan.known.alike:
            self.release = self._same() or self._twin()

    def _same(self) -> Release | None:
        """The last version, where the contents are still its own. What is said of it may change: an image that starts
        another handler is not its image."""
        last = self.plan.known.last
        if last is None or last.source != self.copied.source or not is_sealed(last):
            return None
        renewed = replace(last, fingerprint=self.copied.fingerprint)
        same_handler = last.handler == self.function.handler
        return renewed if same_handler else replace(renewed, handler=self.function.handler, image=None)

    def _twin(self) -> Release | None:
        """The bundle of another function of the project, where it has these contents, as this function's own."""
        last = self.plan.known.last
        if last is not None and last.source == self.copied.source:
            return None  # its bundle was changed by hand, and a twin's is the same
        source = self.copied.source
        others = record.every(self.environment.releases)
        twin = next((other for other in others if other.source == source and is_sealed(other)), None)
        if twin is None:
            return None
        self.new_version = True
        shared = replace(
            twin,
            function=self.function.name,
            handler=self.function.handler,
            fingerprint=self.copied.fingerprint,
            image=None,
            image_key=None,
            image_base=None,
            before=(),
        )
        return shared.succeeding(last)

    def install(self) -> None:
        """The dependencies' tree, installed where no build has. To compare, it is made anew and not kept."""
        plan, copied = self.plan, self.copied
        assert plan.install is not None and copied.key is not None
        compiling, entries = self.spec.compile, plan.inputs.entries
        if plan.goal is Goal.COMPARE:
            room = self._work / "install"
            room.mkdir(mode=0o700)
            with told(self.shop.progress, step := f"install {self.function.name}"):
                made = dependencies.fresh(self.shop, self.function, plan.install, entries, compiling, room, step)
        else:
            last = plan.known.last
            distrusted = plan.known.distrusted and last is not None and last.dependencies == copied.key
            made = dependencies.ensure(
                self.shop, self.function, plan.install, copied.key, entries, compiling, force=plan.force or distrusted
            )
        self._dependencies = made
        self.installed = not made.cached

    def compile(self) -> None:
        """The code with what the runtime's compiler adds. It writes nowhere else: dependencies are linked in later."""
        rule = self.spec.compile
        assert rule is not None
        with told(self.shop.progress, step := f"compile {self.function.name}"):
            dependencies.compile_in(self.shop, self.function, rule, self.copied.root, step)
            self.items = store.index(self.copied.root)

    def bundle(self) -> None:
        """Code and dependencies joined at the place of their digest; a release of it, which nobody sees yet."""
        with told(self.shop.progress, f"bundle {self.function.name}") as tell:
            self.items = self.joined(link=True)
            digest = bundles.digest(self.items)
            root = store.adopt(self.copied.root, digest)
            made = self._released(digest, root)
            version = digest.removeprefix("sha256:")[:12]
            tell(f"{version}  {made.size_bytes / 1e6:.1f} MB, {made.files} files{bundles.bulk(self.copied.code)}")
        self.new_version = self._bundled = True
        self.release = made.succeeding(self.plan.known.last)

    def joined(self, *, link: bool = False) -> tuple[Item, ...]:
        """What the bundle holds: with `link`, the dependencies' files are put beside the code as well."""
        plan, copied = self.plan, self.copied
        if plan.install is None or copied.key is None:
            return self.items
        tree = self._dependencies or dependencies.find(copied.key)
        items = bundles.merged(self.items, tree.items, plan.install.rule.result)
        if link:
            store.link(tree.items, tree.root, copied.root)
        return items

    def _released(self, digest: str, root: Path) -> Release:
        edited = self.plan.goal is Goal.EDIT  # of which nobody keeps a record
        return Release(
            function=self.function.name,
            digest=digest,
            runtime=self.spec.name,
            handler=self.function.handler,
            size_bytes=sum(item.size for item in self.items),
            files=len(self.items),
            fingerprint=self.copied.fingerprint,
            source=self.copied.source,
            seal="" if edited else store.seal(root) or "",
            dependencies=self.copied.key,
        )

    def cache(self) -> None:
        """The compiled code of a new bundle; of one that was there, where another version of the runtime left it."""
        root = bundle_of(self.finished).root
        if not self._bundled and not code_cache.is_stale(root, self.spec):
            return
        with told(self.shop.progress, f"cache {self.function.name}"):
            code_cache.fill(self.shop, self.function, self.spec, root, self._work, anew=self.plan.force)

    def image(self) -> None:
        """The image of the release, over the sandbox image, where it has not that one."""
        content = ship.content(self.function, bundle_of(self.finished), self.spec, self.environment.image)
        key = ship.key(content)
        if self.finished.image is not None and self.finished.image_key == key and not self.plan.force:
            return
        image = ship.ship(
            content, engine=self.shop.engine, project=self.environment.project, progress=self.shop.progress
        )
        self.release = self.finished.shipped(image, key, content.base)
        self.new_image = True

    def record(self) -> None:
        """From here on this is the function's current version."""
        if self.finished != self.plan.known.last:
            record.write(self.environment.releases, self.finished)
            ship.prune_versions(self.environment.project, [self.function], self.shop.engine)

    @property
    def finished(self) -> Release:
        assert self.release is not None, "the steps before have made it"
        return self.release


_ACTS: Mapping[Action, Callable[[Making], None]] = {
    Action.COPY: Making.copy,
    Action.INSTALL: Making.install,
    Action.COMPILE: Making.compile,
    Action.BUNDLE: Making.bundle,
    Action.CACHE: Making.cache,
    Action.IMAGE: Making.image,
    Action.RECORD: Making.record,
}
