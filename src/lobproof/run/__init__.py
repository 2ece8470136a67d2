"""Symbol-days, from the source to the certificate, unattended: plan, ledger, driver, executors."""
