"""Recorded /proc and /sys trees of containers and machines, and the one that we run on."""

import os

import psutil
import pytest

from llm_service import machine
from llm_service.control_groups import Throttling
from llm_service.machine import Machine

GIB = 2**30
V2_MOUNT = "30 1 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"


@pytest.fixture
def root(tmp_path):
    """Eight processors and 16 GiB, no control groups yet."""
    write(
        tmp_path,
        {
            "proc/cpuinfo": 2
            * "processor\t: 0\nmodel name\t: Test CPU 9000\nflags\t\t: fpu avx2 avx512_vnni\n\n",
            "proc/meminfo": "MemTotal:       16777216 kB\nMemFree:         1000000 kB\n"
            "MemAvailable:   12582912 kB\n"
            "SwapTotal:       2097152 kB\nSwapFree:        1048576 kB\n",
            "proc/self/status": "Name:\tpython\nVmRSS:\t  600 kB\nRssAnon:\t  100 kB\n"
            "RssFile:\t  200 kB\nRssShmem:\t  300 kB\nCpus_allowed_list:\t0-7\n",
            "sys/devices/system/cpu/online": "0-7\n",
        },
    )
    return tmp_path


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def write_v2(root, groups, own="/"):
    """`groups` maps a group to its files; all are mounted at /sys/fs/cgroup."""
    write(root, {"proc/self/cgroup": f"0::{own}\n", "proc/self/mountinfo": V2_MOUNT + "\n"})
    for group, files in groups.items():
        write(root / "sys/fs/cgroup" / group.strip("/"), files)


def memory_files(limit, current, inactive=0):
    return {
        "memory.max": f"{limit}\n",
        "memory.current": f"{current}\n",
        "memory.stat": f"anon 1\nfile 2\ninactive_file {inactive}\n",
    }


def test_a_machine_without_limits_is_all_ours(root):
    found = Machine.detect(root)
    assert found.cpu_cores == found.num_cpus == 8
    assert found.cpu_model == "Test CPU 9000"
    assert found.cpu_flags == {"fpu", "avx2", "avx512_vnni"}
    assert not found.is_bfloat16_fast
    assert found.memory_limit_bytes == found.memory_total_bytes == 16 * GIB
    assert found.memory_available_bytes == 12 * GIB
    assert found.memory_working_set_bytes == 4 * GIB
    assert found.swap_total_bytes == 2 * GIB
    assert found.swap_used_bytes == GIB
    assert found.cpu_limits == {"online": 8, "affinity": 8}
    assert found.huge_pages == ""
    assert found.cgroup_version is None
    assert found.throttled_seconds is None


def test_resident_memory_is_split_as_the_kernel_splits_it(root):
    memory = Machine.detect(root).process_memory
    assert (memory.anon_bytes, memory.file_bytes, memory.shmem_bytes) == (102400, 204800, 307200)
    assert memory.total_bytes == 614400


def test_a_container_of_version_2_has_its_quota_and_limit(root):
    files = memory_files(2 * GIB, GIB, inactive=GIB // 4)
    stat = "usage_usec 9\nnr_periods 40\nnr_throttled 10\nthrottled_usec 2500000\n"
    files |= {"cpu.max": "150000 100000\n", "cpu.stat": stat}
    write_v2(root, {"/": files})
    found = Machine.detect(root)
    assert found.cpu_cores == 1.5
    assert found.memory_limit_bytes == 2 * GIB
    assert found.memory_working_set_bytes == GIB - GIB // 4  # idle page cache is not use
    assert found.memory_available_bytes == GIB + GIB // 4
    assert found.throttled_seconds == 2.5
    assert machine.throttling(root) == Throttling(2.5, num_periods=40, num_throttled=10)
    assert found.cgroup_version == 2


def test_the_least_limit_of_all_ancestors_counts_for_each_resource_alone(root):
    groups = {
        "/": {"cpuset.cpus.effective": "0-7\n"},
        "/a": {"cpu.max": "max 100000\n", **memory_files(4 * GIB, GIB)},
        "/a/b": {"cpu.max": "200000 100000\n", **memory_files("max", GIB)},
        "/a/b/c": {"cpu.max": "400000 100000\n", **memory_files(8 * GIB, GIB)},
    }
    write_v2(root, groups, own="/a/b/c")
    found = Machine.detect(root)
    assert found.cpu_cores == 2
    assert found.memory_limit_bytes == 4 * GIB


def test_what_is_left_is_the_least_below_any_limit(root):
    groups = {"/a": memory_files(4 * GIB, 4 * GIB - 100), "/a/b": memory_files(3 * GIB, GIB)}
    write_v2(root, groups, own="/a/b")
    use = machine.memory_use(root)
    assert use.limit_bytes == 3 * GIB
    assert use.available_bytes == 100  # a sibling has filled the parent


def test_a_limit_above_the_machines_memory_is_none(root):
    write_v2(root, {"/": memory_files(64 * GIB, GIB)})
    assert machine.memory_use(root).limit_bytes == 16 * GIB


def test_memory_high_is_a_limit_too(root):
    write_v2(root, {"/": memory_files(4 * GIB, GIB) | {"memory.high": f"{3 * GIB}\n"}})
    assert machine.memory_use(root).limit_bytes == 3 * GIB


def test_cpusets_and_affinity_are_counted(root):
    write_v2(root, {"/": {"cpuset.cpus.effective": "0-2,5\n", "cpu.max": "max 100000\n"}})
    assert machine.cpu_cores(root) == 4
    write(root, {"proc/self/status": "Cpus_allowed_list:\t1,3-4\n"})
    assert machine.cpu_cores(root) == 3
    assert machine.cpu_limits(root) == {"online": 8, "affinity": 3, "cpuset": 4}


def test_the_kernel_says_its_release_and_how_it_gives_huge_pages(root):
    write(
        root,
        {
            "sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]\n",
            "proc/sys/kernel/osrelease": "6.1.0-test\n",
        },
    )
    found = Machine.detect(root)
    assert (found.huge_pages, found.kernel) == ("never", "6.1.0-test")


V1_MOUNTS = """\
31 1 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
34 31 0:31 {root} /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""
V1_GROUPS = "6:cpu,cpuacct:{own}\n5:memory:{own}\n4:cpuset:{own}\n1:name=systemd:{own}\n0::/\n"


def write_v1(root, own, mount_root="/", folder=""):
    groups = root / "sys/fs/cgroup"
    write(
        root,
        {
            "proc/self/cgroup": V1_GROUPS.format(own=own),
            "proc/self/mountinfo": V1_MOUNTS.format(root=mount_root),
            "sys/fs/cgroup/unified/cgroup.procs": "",
            f"sys/fs/cgroup/cpuset{folder}/cpuset.cpus": "0-3\n",
        },
    )
    write(
        groups / f"cpu,cpuacct{folder}",
        {
            "cpu.cfs_quota_us": "50000\n",
            "cpu.cfs_period_us": "100000\n",
            "cpu.stat": "nr_throttled 3\nthrottled_time 7000000000\n",
        },
    )
    write(
        groups / f"memory{folder}",
        {
            "memory.limit_in_bytes": f"{GIB}\n",
            "memory.usage_in_bytes": f"{GIB // 2}\n",
            "memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB // 8}\n",
        },
    )


@pytest.mark.parametrize(
    ("own", "mount_root", "folder"),
    [
        ("/docker/abc", "/", "/docker/abc"),  # seen from the host
        ("/docker/abc", "/docker/abc", ""),  # a container that sees the host's names
        ("/", "/", ""),  # a container with its own namespace
        ("/../other", "/", ""),  # a group outside of our namespace
    ],
)
def test_version_1_is_read_wherever_the_group_is_mounted(root, own, mount_root, folder):
    write_v1(root, own, mount_root, folder)
    found = Machine.detect(root)
    assert found.cpu_cores == 0.5
    assert found.memory_limit_bytes == GIB
    assert found.memory_working_set_bytes == GIB // 2 - GIB // 8
    assert found.throttled_seconds == 7
    assert found.cgroup_version == 1


def test_version_1_without_limits_is_all_ours(root):
    write_v1(root, "/")
    groups = root / "sys/fs/cgroup"
    write(groups / "cpu,cpuacct", {"cpu.cfs_quota_us": "-1\n"})
    write(groups / "cpuset", {"cpuset.cpus": "\n"})
    write(groups / "memory", {"memory.limit_in_bytes": "9223372036854771712\n"})
    found = Machine.detect(root)
    assert found.cpu_cores == 8
    assert found.memory_limit_bytes == 16 * GIB


def test_where_there_is_no_proc_psutil_answers(tmp_path):
    found = Machine.detect(tmp_path)
    assert found.cpu_cores == os.cpu_count()
    assert found.memory_limit_bytes == psutil.virtual_memory().total
    assert 0 < found.memory_available_bytes < found.memory_total_bytes
    assert found.process_memory.anon_bytes > 2**20
    assert found.cpu_flags == frozenset()


@pytest.mark.parametrize(
    ("flags", "is_fast"),
    [("avx2", False), ("avx512_vnni", False), ("avx512_bf16", True), ("amx_tile amx_bf16", True)],
)
def test_bfloat16_is_fast_only_where_the_processor_multiplies_it(root, flags, is_fast):
    write(root, {"proc/cpuinfo": f"flags : {flags}\n"})
    assert Machine.detect(root).is_bfloat16_fast is is_fast


def test_this_very_machine_is_read_without_contradiction():
    found = Machine.detect()
    assert 0 < found.cpu_cores <= found.num_cpus
    assert 0 < found.memory_available_bytes <= found.memory_limit_bytes
    assert found.memory_limit_bytes <= found.memory_total_bytes
    rss = psutil.Process().memory_info().rss
    assert found.process_memory.total_bytes == pytest.approx(rss, rel=0.2)
