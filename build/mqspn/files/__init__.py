"""Files and folders that survive a kill: replaced whole, held by one process, told apart."""
