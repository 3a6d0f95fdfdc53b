-- The features and the label of one day of departures, from the flights themselves: neither the lander nor Spark is
-- asked. $ds is the day; the tables are the distribution's CSV files, `flights` with its day in `day`.
WITH flown AS (
    SELECT
        *,
        hour * 60 + minute AS planned,
        hour * 60 + minute + dep_delay AS gone,
        dep_delay AS late,
        date_diff('day', day, CAST($ds AS DATE)) AS days_ago
    FROM flights
),
today AS (
    SELECT origin, hour, count(*) AS departures, count(DISTINCT carrier) AS carriers, avg(distance) AS distance,
        avg(late) AS delay
    FROM flown
    WHERE days_ago = 0 AND hour >= 13
    GROUP BY ALL
),
morning AS (
    SELECT
        origin,
        avg(CASE WHEN gone < 720 THEN 1.0 ELSE 0.0 END) AS departed_rate,
        avg(CASE WHEN late >= 15 THEN 1.0 ELSE 0.0 END) FILTER (WHERE gone < 720) AS late_rate,
        avg(late) FILTER (WHERE gone < 720) AS mean_delay
    FROM flown
    WHERE days_ago = 0 AND planned < 720
    GROUP BY origin
),
week AS (
    SELECT origin, count(late) / count(*) AS departed_rate, avg(late) AS mean_delay
    FROM flown
    WHERE days_ago BETWEEN 2 AND 8 AND hour >= 13
    GROUP BY origin
),
weeks AS (
    SELECT origin, hour, count(late) / count(*) AS departed_rate, avg(late) AS mean_delay
    FROM flown
    WHERE days_ago BETWEEN 2 AND 22 AND hour >= 13
    GROUP BY ALL
),
observed AS (
    SELECT
        origin,
        avg(temp) AS temp,
        max(wind_speed) AS wind,
        sum(precip) AS precip,
        avg(pressure) AS pressure,
        min(visib) AS visib
    FROM weather
    WHERE make_date(year, month, day) = CAST($ds AS DATE)
        AND timezone('America/New_York', CAST(time_hour AS TIMESTAMPTZ)) < CAST($ds AS DATE) + INTERVAL 12 HOUR
    GROUP BY origin
)
SELECT
    t.origin,
    t.hour,
    isodow(CAST($ds AS DATE)) AS day_of_week,
    t.departures,
    t.carriers,
    t.distance,
    m.departed_rate AS morning_departed_rate,
    m.late_rate AS morning_late_rate,
    m.mean_delay AS morning_mean_delay,
    w.departed_rate AS origin_departed_rate_7d,
    w.mean_delay AS origin_mean_delay_7d,
    ws.departed_rate AS hour_departed_rate_21d,
    ws.mean_delay AS hour_mean_delay_21d,
    o.temp AS weather_temp_mean,
    o.wind AS weather_wind_max,
    o.precip AS weather_precip_sum,
    o.pressure AS weather_pressure_mean,
    o.visib AS weather_visib_min,
    t.delay
FROM today AS t
LEFT JOIN morning AS m USING (origin)
LEFT JOIN week AS w USING (origin)
LEFT JOIN weeks AS ws USING (origin, hour)
LEFT JOIN observed AS o USING (origin)
ORDER BY t.origin, t.hour
