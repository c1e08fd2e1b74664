# Ends what runs in the namespaces $name-*, and removes them and what outlived it in $folder.
for n in h1 x1 x2 h2; do
    kill $(ip netns pids "$name-$n" 2>/dev/null) 2>/dev/null
done
for n in h1 x1 x2 h2; do
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ -z "$(ip netns pids "$name-$n" 2>/dev/null)" ] && break
        sleep 0.1
    done
    kill -9 $(ip netns pids "$name-$n" 2>/dev/null) 2>/dev/null
    ip netns del "$name-$n" 2>/dev/null
done
umount "$folder/bpf" 2>/dev/null
