-- The features of one day of flights, written without Spark and for one day only. $ds is the day.
-- Views over the landing files: schedule, actuals, weather, planes, airports; each with its day in `day`.
WITH today AS (
    SELECT
        s.* EXCLUDE (tailnum),
        coalesce(
            s.tailnum,
            (
                SELECT other.tailnum
                FROM schedule AS other
                WHERE other.day = $ds AND other.carrier = s.carrier AND other.tailnum IS NOT NULL
                ORDER BY md5($ds || other.tailnum)
                LIMIT 1
            )
        ) AS tailnum,
        CAST(substr(lpad(CAST(s.sched_dep_time AS VARCHAR), 4, '0'), 1, 2) AS INTEGER) AS dep_hour,
        CAST(substr(lpad(CAST(s.sched_dep_time AS VARCHAR), 4, '0'), 3, 2) AS INTEGER) AS dep_minutes,
        CAST(substr(lpad(CAST(s.sched_arr_time AS VARCHAR), 4, '0'), 1, 2) AS INTEGER) AS arr_hour,
        CAST(substr(lpad(CAST(s.sched_arr_time AS VARCHAR), 4, '0'), 3, 2) AS INTEGER) AS arr_minutes
    FROM schedule AS s
    WHERE s.day = $ds
),
past AS (
    SELECT
        *,
        date_diff('day', CAST(day AS DATE), CAST($ds AS DATE)) AS days_ago,
        CAST(substr(lpad(CAST(sched_dep_time AS VARCHAR), 4, '0'), 1, 2) AS INTEGER) AS dep_hour,
        CASE
            WHEN cancelled OR diverted OR arr_delay IS NULL THEN 1
            WHEN arr_delay >= 30 THEN 1
            ELSE 0
        END AS late
    FROM actuals
    WHERE CAST(day AS DATE) BETWEEN CAST($ds AS DATE) - 28 AND CAST($ds AS DATE) - 1
),
edges AS (
    SELECT unnest([0, 15, 30, 45, 60, 90, 120, 180]) AS edge
),
asked AS (
    SELECT flight_id, 'carrier' AS name, carrier AS value FROM today
    UNION ALL SELECT flight_id, 'origin', origin FROM today
    UNION ALL SELECT flight_id, 'route', origin || dest FROM today
    UNION ALL SELECT flight_id, 'hour', CAST(dep_hour AS VARCHAR) FROM today
    UNION ALL SELECT flight_id, 'tail', tailnum FROM today
),
answers AS (
    SELECT *, 'carrier' AS name, carrier AS value FROM past
    UNION ALL SELECT *, 'origin', origin FROM past
    UNION ALL SELECT *, 'route', origin || dest FROM past
    UNION ALL SELECT *, 'hour', CAST(dep_hour AS VARCHAR) FROM past
    UNION ALL SELECT *, 'tail', tailnum FROM past
),
windows AS (
    SELECT
        name, value, w.days,
        count(*) AS flights,
        avg(late) AS late_rate,
        avg(CAST(cancelled AS INTEGER)) AS cancel_rate,
        avg(arr_delay) AS mean_delay,
        list_sort(list(arr_delay) FILTER (WHERE arr_delay IS NOT NULL)) AS delays
    FROM answers JOIN (VALUES (7), (28)) AS w (days) ON days_ago <= w.days
    GROUP BY name, value, w.days
),
history AS (
    SELECT q.flight_id, q.name, w.days, coalesce(f.flights, 0) AS flights, f.* EXCLUDE (name, value, days, flights)
    FROM asked AS q
    CROSS JOIN (VALUES (7), (28)) AS w (days)
    LEFT JOIN windows AS f ON f.name = q.name AND f.value = q.value AND f.days = w.days
)
SELECT
    t.flight_id, t.carrier, t.origin, t.dest,
    month(CAST($ds AS DATE)) AS month,
    isodow(CAST($ds AS DATE)) AS day_of_week,
    t.dep_hour,
    t.dep_hour * 60 + t.dep_minutes AS dep_minute,
    (t.arr_hour * 60 + t.arr_minutes) % 1440 AS arr_minute,
    t.distance,
    a.lat AS dest_lat,
    a.lon AS dest_lon,
    year(CAST($ds AS DATE)) - pl.year AS plane_age,
    pl.seats AS plane_seats,
    (SELECT count(*) FROM today AS o WHERE o.origin = t.origin AND o.dep_hour = t.dep_hour) AS departures_origin_hour,
    (SELECT count(*) FROM past WHERE days_ago = 1) AS network_flights_1d,
    (SELECT avg(late) FROM past WHERE days_ago = 1) AS network_late_rate_1d,
    (SELECT avg(CAST(cancelled AS INTEGER)) FROM past WHERE days_ago = 1) AS network_cancel_rate_1d,
    (SELECT avg(arr_delay) FROM past WHERE days_ago = 1) AS network_mean_delay_1d,
    (
        SELECT coalesce(min(edge) FILTER (WHERE (SELECT count(*) FROM past WHERE days_ago = 1 AND arr_delay <= edge)
            >= 0.9 * (SELECT count(arr_delay) FROM past WHERE days_ago = 1)), 240)
        FROM edges
    ) AS network_p90_delay_1d,
    wx.temp AS weather_temp_mean,
    wx.humid AS weather_humid_mean,
    wx.wind AS weather_wind_max,
    wx.gust AS weather_gust_max,
    wx.precip AS weather_precip_sum,
    wx.pressure AS weather_pressure_mean,
    wx.visib AS weather_visib_min,
    h.history
FROM today AS t
LEFT JOIN planes AS pl ON pl.tailnum = t.tailnum
LEFT JOIN airports AS a ON a.faa = t.dest
LEFT JOIN (
    SELECT
        origin, avg(temp) AS temp, avg(humid) AS humid, max(wind_speed) AS wind, max(wind_gust) AS gust,
        sum(precip) AS precip, avg(pressure) AS pressure, min(visib) AS visib
    FROM weather
    WHERE CAST(day AS DATE) = CAST($ds AS DATE) - 1
    GROUP BY origin
) AS wx ON wx.origin = t.origin
JOIN (
    SELECT
        flight_id,
        list({
            'name': name, 'days': days, 'flights': flights, 'late_rate': late_rate, 'cancel_rate': cancel_rate,
            'mean_delay': mean_delay, 'p90_delay': CASE
                WHEN delays IS NULL THEN NULL
                -- The value at the 90 % place of the sorted delays, then the first edge that is not below it.
                ELSE coalesce(
                    (SELECT min(edge) FROM edges WHERE edge >= delays[CAST((len(delays) * 9 + 9) // 10 AS INTEGER)]), 240
                )
            END
        }) AS history
    FROM history
    GROUP BY flight_id
) AS h USING (flight_id)
ORDER BY t.flight_id
