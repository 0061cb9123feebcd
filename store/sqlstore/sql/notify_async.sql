-- A wake-up carries nothing that could be lost, so its commit need not wait for the disk.
SELECT set_config('synchronous_commit', 'off', true)
