"""`python -m client`: the command `keypair` from a checkout."""

from client.cli import main

if __name__ == "__main__":
    main()
