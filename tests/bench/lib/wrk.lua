-- Sends a body of the size given after --, and prints wrk's own figures as one line of JSON.

init = function(args)
    local bytes = tonumber(args[1] or "0")
    if bytes > 0 then
        wrk.method = "POST"
        wrk.body = string.rep("0123456789abcdef", math.ceil(bytes / 16)):sub(1, bytes)
    end
end

done = function(summary, latency)
    local errors = 0
    for _, count in pairs(summary.errors) do
        errors = errors + count
    end
    io.write(string.format('\nFIGURES {"requests": %d, "errors": %d, "seconds": %f, "p50_us": %d, "p99_us": %d}\n',
        summary.requests, errors, summary.duration / 1e6, latency:percentile(50), latency:percentile(99)))
end
