-- A transaction that sees what others commit meanwhile, so that it notices a takeover.
BEGIN ISOLATION LEVEL READ COMMITTED
