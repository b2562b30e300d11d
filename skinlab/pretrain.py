"""Pretrain a backbone without labels: ``python -m skinlab.pretrain ssl=simclr data=ham10000 model=effnet_lite0``."""

from skinlab.cli.entry import run_command

if __name__ == "__main__":
    run_command("pretrain")
